package command

import (
	"errors"
	"net/http"
	"time"

	"github.com/leat-go/leat/event"
)

// Action is what somebody wants to do at a [Gateway].
type Action string

// The actions.
const (
	ActionSend   Action = "send"   // a command
	ActionWatch  Action = "watch"  // an operation: its state, its result, its events
	ActionCancel Action = "cancel" // an operation
)

// Access is what an [Authorizer] is asked for. The names are as they stand in the request:
// there may be no such command or operation.
type Access struct {
	Action    Action
	Command   string // the type of a command that is to be sent
	Operation string // the id of an operation that is to be watched or cancelled
}

// Principal is who makes a request.
type Principal struct {
	Subject string    // who it is, by a name that nobody else of the tenant has; never ""
	Tenant  string    // whose data it is about; "" where there is one tenant
	Expires time.Time // until when this is known: a stream of events ends then; zero: it doesn't
}

// Authorizer tells who makes a request and whether access is granted. It is called once for
// each request, before anything else is looked at, concurrently.
//
// [ErrUnauthenticated] is answered by 401, every other error by 403. Neither says why.
//
// It needn't look whose operation it is: a [Gateway] shows an operation to the subject, of the
// tenant, that has sent it. To others it doesn't exist.
type Authorizer func(r *http.Request, a Access) (Principal, error)

// The errors of an [Authorizer]. Every other one is told to [GatewayConfig].OnError too.
var (
	ErrUnauthenticated = errors.New("command: it isn't known who makes the request")
	ErrForbidden       = errors.New("command: this isn't allowed")
)

// maxPrincipal bounds the names of a principal: those of tenants are inherited by events,
// which has this bound.
const maxPrincipal = 512

// principal returns who makes a request, or why it is refused.
func (g *gateway) principal(r *http.Request, a Access) (Principal, error) {
	if g.cfg.Authorize == nil {
		return Principal{}, errForbidden
	}
	p, err := g.cfg.Authorize(r, a)
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return Principal{}, g.unauthenticated("the request has to say who makes it")
	case errors.Is(err, ErrForbidden):
		return Principal{}, errForbidden
	case err != nil:
		g.tell(r, err)
		return Principal{}, errForbidden
	case !p.Expires.IsZero() && !time.Now().Before(p.Expires):
		return Principal{}, g.unauthenticated("what the request is made with has expired")
	case !named(p):
		g.tell(r, errPrincipal)
		return Principal{}, errForbidden
	}
	return p, nil
}

var errPrincipal = errors.New("command: the authorizer named a subject or a tenant that is empty, longer than 512 bytes, or no plain text")

func (g *gateway) unauthenticated(detail string) refusal {
	return refusal{
		status: http.StatusUnauthorized, code: "unauthenticated", detail: detail,
		header: [2]string{"WWW-Authenticate", g.cfg.Challenge},
	}
}

// named reports whether a principal can stand in the attributes of events. One without a
// subject would own what nobody has sent.
func named(p Principal) bool {
	if p.Subject == "" || len(p.Subject) > maxPrincipal || len(p.Tenant) > maxPrincipal {
		return false
	}
	e := event.New("/", "principal", nil).WithExtension(extSubject, p.Subject).WithExtension(event.ExtTenant, p.Tenant)
	return e.Validate() == nil
}

// owns reports whether an operation is of a principal.
func (p Principal) owns(o Operation) bool { return o.Subject == p.Subject && o.Tenant == p.Tenant }
