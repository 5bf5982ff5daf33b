package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/command/webhook"
)

// A receiver verifies what it reads, and drops what it has handled before by the id.
func ExampleVerifier_Read() {
	secret := webhook.NewSecret()
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Secrets: []webhook.Secret{secret}})
	if err != nil {
		fmt.Println(err)
		return
	}
	seen := map[string]bool{} // a store that others share, in earnest
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := verifier.Read(r)
		if err != nil {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		var body webhook.Body
		if id := r.Header.Get("Webhook-Id"); !seen[id] && json.Unmarshal(raw, &body) == nil {
			seen[id] = true
			fmt.Println(body.Type, body.Data.Name, body.Data.ID)
		}
	}))
	defer receiver.Close()

	hooks, err := webhook.New(webhook.Config{
		AllowPlain: true, AllowPrivate: true, // the receiver is on this machine
		Targets: func(context.Context, command.Operation) ([]webhook.Target, error) {
			return []webhook.Target{{URL: receiver.URL, Secrets: []webhook.Secret{secret}}}, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hooks.Close()
	o := command.Operation{ID: "42", Name: "ship-order", State: command.Succeeded, Version: 3, Updated: time.Now()}
	for range 2 {
		fmt.Println(hooks.Notify(context.Background(), o))
	}
	// Output:
	// operation.succeeded ship-order 42
	// <nil>
	// <nil>
}

// Users choose the URLs. One that leads into the network of the service leads nowhere.
func ExampleNew() {
	hooks, err := webhook.New(webhook.Config{
		Targets: func(_ context.Context, o command.Operation) ([]webhook.Target, error) {
			return []webhook.Target{{URL: "https://169.254.169.254/latest/meta-data", Secrets: []webhook.Secret{webhook.NewSecret()}}}, nil
		},
		OnGone: func(_ context.Context, t webhook.Target) error { return nil }, // disable it
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hooks.Notify(context.Background(), command.Operation{ID: "42", State: command.Succeeded, Version: 3}))
	// Output:
	// permanent: webhook: 169.254.169.254: dial tcp 169.254.169.254:443: webhook: the address is not public: 169.254.169.254
}

func ExampleVerify() {
	h := http.Header{}
	h.Set("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("Webhook-Timestamp", "1614265330")
	h.Set("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	secrets := []webhook.Secret{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	body, at := []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)
	fmt.Println(webhook.Verify(secrets, h, body, at))
	fmt.Println(webhook.Verify(secrets, h, body, at.Add(6*time.Minute)))
	fmt.Println(webhook.Verify(secrets, h, []byte("{}"), at))
	// Output:
	// <nil>
	// webhook: the timestamp is too far from now: more than 5m0s
	// webhook: no signature is by a secret of ours
}
