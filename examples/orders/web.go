package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"
)

//go:embed page
var pages embed.FS

// policy lets the page use what the shop itself serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		welcome(w, r)
		http.ServeFileFS(w, r, pages, "page/shop.html")
	})
	for _, name := range []string{"shop.js", "shop.css"} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, pages, "page/"+name)
		})
	}
	mux.HandleFunc("GET /stock", s.serveStock)
	mux.Handle("/commands/", s.gateway)
	mux.Handle("/operations/", s.gateway)
	return guarded(mux)
}

// guarded sets what every answer has.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (s *shop) serveStock(w http.ResponseWriter, r *http.Request) {
	items, err := s.stock(r.Context())
	if err != nil {
		s.cfg.log.Warn("the stock", "error", err)
		http.Error(w, "try again later", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(items); err != nil {
		s.cfg.log.Debug("the stock was not read", "error", err)
	}
}

// serve serves until ctx ends, with which the streams end too: the server waits for them.
func (s *shop) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.grace)
		defer cancel()
		if server.Shutdown(ctx) != nil { // a browser may keep a connection that it never used
			ended <- server.Close()
			return
		}
		ended <- nil
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}
