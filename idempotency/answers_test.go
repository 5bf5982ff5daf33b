package idempotency_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// What a handler answered is answered to a duplicate: its result, or its rejection. An
// error that a store keeps says the same.
func TestAnswersAreGivenAgain(t *testing.T) {
	soldOut := event.NewError("sold_out", "there is none left")
	for name, once := range map[string]event.Middleware{
		"with a lease":     idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{})),
		"in a transaction": idempotency.InTx(newDatabase()),
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			h := once.Wrap(func(ctx context.Context, e event.Event) error {
				runs++
				if e.ID() == "no" {
					return event.Reject(soldOut)
				}
				return event.SetResult(ctx, "text/plain", []byte("thanks"))
			})
			for range 2 {
				ctx := handling(t.Context(), order("yes"), &sent{})
				require.NoError(t, h(ctx, order("yes")))
				r, ok := event.ResultOf(ctx)
				require.True(t, ok)
				require.Equal(t, event.Result{ContentType: "text/plain", Data: []byte("thanks")}, r)
				err := h(handling(t.Context(), order("no"), &sent{}), order("no"))
				require.ErrorIs(t, err, soldOut)
				require.Equal(t, event.Rejected, event.VerdictOf(err).Kind)
			}
			require.Equal(t, 2, runs)
		})
	}
}

// Tenants, sources and groups have their own ids; types tell payloads apart.
func TestWhatIsTheSame(t *testing.T) {
	runs := 0
	h := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{})).Wrap(func(context.Context, event.Event) error {
		runs++
		return nil
	})
	handle := func(e event.Event) error { return h(handling(t.Context(), e, &sent{}), e) }
	other := order("1").WithExtension(event.ExtTenant, "acme")
	for n, e := range []event.Event{order("1"), other, event.New("/another", "charge", order("1").Data()).WithID("1")} {
		for range 2 {
			require.NoError(t, handle(e))
		}
		require.Equal(t, n+1, runs)
	}
	renamed := event.New("/shop", "refund", nil).WithID("1").WithData("application/json", order("1").Data())
	require.ErrorIs(t, handle(renamed), idempotency.ErrMismatch)
	require.Equal(t, 3, runs)
}

// While the store doesn't answer no request is served.
func TestHandlerWithoutTheStore(t *testing.T) {
	a := &away{Store: idempotency.NewMemory(idempotency.MemoryConfig{})}
	a.claim.Store(true)
	once := idempotency.Middleware(a)
	runs := 0
	h := once.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runs++ }), idempotency.HandlerConfig{})
	w := ask(h, http.MethodPost, "k", "a")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.Zero(t, runs)
	require.Error(t, once.Ready())
	a.claim.Store(false)
	require.Equal(t, http.StatusOK, ask(h, http.MethodPost, "k", "a").Code)
	require.NoError(t, once.Ready())
}

// overtaken is a store in which somebody else has every key by the end of a run.
type overtaken struct{ idempotency.Store }

func (overtaken) Release(context.Context, idempotency.Key, uint64) error {
	return idempotency.ErrFenced
}

func (overtaken) Fail(context.Context, idempotency.Key, uint64) error { return idempotency.ErrFenced }

// A run that failed, and whose claim was another's by then, is counted, whether it would
// have given the claim back or ended it.
func TestFailureOfWhoWasOvertaken(t *testing.T) {
	once := idempotency.Middleware(overtaken{idempotency.NewMemory(idempotency.MemoryConfig{})})
	h := once.Wrap(func(context.Context, event.Event) error { return errNo })
	for n, kind := range []event.OutcomeKind{event.OutcomeRetried, event.OutcomeDead} {
		e := order(string(rune('a' + n)))
		a := handling(t.Context(), e, &sent{})
		require.ErrorIs(t, h(a, e), errNo)
		a.RunAfter(t.Context(), event.Outcome{Kind: kind, Err: errNo})
		require.EqualValues(t, n+1, once.Stats().Fenced)
	}
	require.Zero(t, once.Stats().Failed)
	require.NoError(t, once.Ready())
}
