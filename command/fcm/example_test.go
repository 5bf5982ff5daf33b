package fcm_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/command/fcm"
)

// devices are the registration tokens of users: a table of a database, in earnest.
type devices map[string][]string

func (d devices) Of(_ context.Context, subject string) ([]string, error) { return d[subject], nil }

func (d devices) Remove(_ context.Context, subject, token string) error {
	fmt.Println("removed", token)
	delete(d, subject)
	return nil
}

// A user is told on each of the phones; a phone that isn't registered any more is forgotten.
func ExampleNew() {
	api := httptest.NewServer(http.HandlerFunc(answer)) // stands in for Google
	defer api.Close()
	push, err := fcm.New(fcm.Config{
		ServiceAccount: serviceAccount(api.URL), // the file that the console gave
		Endpoint:       api.URL,                 // leave it out
		Tokens:         devices{"ada": {"old-phone"}},
		Message: func(o command.Operation) fcm.Message {
			return fcm.Message{Title: "Your order", Body: "It has been shipped.", Data: map[string]string{"operation": o.ID}}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	o := command.Operation{ID: "42", Name: "ship-order", State: command.Succeeded, Version: 3, Subject: "ada"}
	fmt.Println(push.Notify(context.Background(), o))
	// Output:
	// {"message":{"token":"old-phone","notification":{"title":"Your order","body":"It has been shipped."},"data":{"operation":"42"}}}
	// removed old-phone
	// <nil>
}

func answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/token" {
		fmt.Fprint(w, `{"access_token": "secret", "token_type": "Bearer", "expires_in": 3599}`)
		return
	}
	body, _ := io.ReadAll(r.Body)
	fmt.Println(string(body))
	failed(w, http.StatusNotFound, "NOT_FOUND", "UNREGISTERED")
}

func serviceAccount(at string) []byte {
	key, _ := x509.MarshalPKCS8PrivateKey(testKey())
	file, _ := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "shop-1", "client_email": "leat@shop-1.iam.example", "token_uri": at + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	})
	return file
}
