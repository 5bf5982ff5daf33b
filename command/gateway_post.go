package command

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// post takes a command.
func (g *gateway) post(w http.ResponseWriter, r *http.Request, name string) error {
	p, err := g.principal(r, Access{Action: ActionSend, Command: name})
	if err != nil {
		return err
	}
	s, err := g.read(w, r, p, name)
	if err != nil {
		return err
	}
	ctx, cancel := g.bound(r.Context())
	o, err := s.accept(ctx)
	cancel()
	if err != nil {
		return err
	}
	return g.accepted(w, r, p, o)
}

// read reads what a request is to send.
func (g *gateway) read(w http.ResponseWriter, r *http.Request, p Principal, name string) (*submission, error) {
	decode, ok := g.exposed(name)
	if !ok {
		return nil, refusal{status: http.StatusNotFound, code: "unknown_command", detail: "there is no such command"}
	}
	if !isJSON(r.Header) {
		return nil, refusal{
			status: http.StatusUnsupportedMediaType, code: "unsupported_media_type",
			detail: "the body has to be application/json, in UTF-8, as it is",
			header: [2]string{"Accept-Post", "application/json"},
		}
	}
	key, err := idempotencyKey(r.Header)
	if err != nil {
		return nil, err
	}
	body, err := g.body(w, r)
	if err != nil {
		return nil, err
	}
	cmd, err := decode(body)
	if err != nil {
		return nil, err
	}
	s := &submission{gateway: g, p: p, cmd: cmd, fingerprint: fingerprint(name, body), keyed: key != ""}
	if s.id = newID(p); s.keyed {
		s.id = keyID(p, name, key)
	}
	return s, nil
}

// isJSON reports whether a body is said to be JSON. A page of another site can't say so
// without asking first, which isn't answered.
func isJSON(h http.Header) bool {
	typ, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	return err == nil && typ == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8")) &&
		(h.Get("Content-Encoding") == "" || strings.EqualFold(h.Get("Content-Encoding"), "identity"))
}

// body reads the body of a request, in the time that sending has.
func (g *gateway) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	wire := http.NewResponseController(w)
	_ = wire.SetReadDeadline(time.Now().Add(g.cfg.SendTimeout)) // where it can't be said the server's own bound holds
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.cfg.MaxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, errTooLarge
		}
		return nil, badRequest("bad_body", "the body can't be read to its end")
	}
	_ = wire.SetReadDeadline(time.Time{})
	return body, nil
}

// accepted answers that a command is accepted, or with its outcome, if that is preferred and
// comes in time.
func (g *gateway) accepted(w http.ResponseWriter, r *http.Request, p Principal, o Operation) error {
	w.Header().Set("Location", g.path(o.ID))
	prefer := preferred(r.Header, g.cfg.MaxWait)
	waited := false
	if prefer.wait > 0 {
		o, waited = g.await(w, r, p, o, prefer.wait)
	}
	done := waited && o.State.Final()
	prefer.apply(w.Header(), !done, waited)
	if done {
		return g.outcome(w, o)
	}
	g.writeView(w, http.StatusAccepted, o)
	return nil
}

// await waits for the outcome of an operation, if there is room for another request that does,
// and returns the operation as it was last.
func (g *gateway) await(w http.ResponseWriter, r *http.Request, p Principal, o Operation, wait time.Duration) (Operation, bool) {
	leave, err := g.enter(p)
	if err != nil {
		return o, false
	}
	defer leave()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(wait + g.cfg.WriteTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	stop := context.AfterFunc(g.life, cancel) //nolint:contextcheck // the life of the Bus, beside that of the request
	defer stop()
	for now, err := range Watch(ctx, g.operations(), o.ID, 0) {
		if err != nil {
			break // also where the store fails: what is known is that it is accepted
		}
		o = now
	}
	return o, true
}
