package main

import (
	"crypto/rand"
	"net/http"

	"github.com/leat-go/leat/command"
)

// buyerCookie tells buyers apart: who has it is the buyer. It is enough for an example, in
// which nobody signs in and nothing is paid.
const buyerCookie = "buyer"

// buyerOf is the shop's [command.Authorizer]: a buyer may send what is exposed, and watch
// what is theirs.
func buyerOf(r *http.Request, _ command.Access) (command.Principal, error) {
	cookie, err := r.Cookie(buyerCookie)
	if err != nil || cookie.Value == "" {
		return command.Principal{}, command.ErrUnauthenticated
	}
	return command.Principal{Subject: cookie.Value}, nil
}

// welcome makes a buyer of who opens the page.
func welcome(w http.ResponseWriter, r *http.Request) {
	if _, err := r.Cookie(buyerCookie); err == nil {
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure: the example has no TLS
		Name: buyerCookie, Value: rand.Text(), Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}
