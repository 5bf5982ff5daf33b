package command

import (
	"net/http"

	"github.com/leat-go/leat/internal/sse"
)

// owner is whose streams are counted together.
type owner struct{ tenant, subject string }

// enter counts a request in that lasts, unless there are too many. leave counts it out.
func (g *gateway) enter(p Principal) (leave func(), err error) {
	who := owner{p.Tenant, p.Subject}
	switch g.streams.Enter(who) {
	case sse.Own:
		return nil, refusal{
			status: http.StatusTooManyRequests, code: "too_many_streams",
			detail: "there are too many streams of this subject", after: defaultReconnect,
		}
	case sse.Total:
		return nil, errBusy
	case sse.Free:
	}
	return func() { g.streams.Leave(who) }, nil
}
