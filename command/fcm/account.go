package fcm

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"

	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"
)

// scope is what an access token is for.
const scope = "https://www.googleapis.com/auth/firebase.messaging"

// account is a service account as its file has it.
type account struct {
	project string
	jwt     *jwt.Config
}

// The errors of service accounts have no cause: what decoders say can quote the file.
var (
	errAccount = errors.New("fcm: Config.ServiceAccount is no JSON file of a service account's key")
	errKey     = errors.New("fcm: the private key of Config.ServiceAccount is no RSA key in PEM")
)

// readAccount reads the file of a service account. Its key is looked at here, since it would
// be noticed at the first message else.
func readAccount(file []byte) (*account, error) {
	var f struct {
		Project string `json:"project_id"`
		Email   string `json:"client_email"`
	}
	if json.Unmarshal(file, &f) != nil || f.Email == "" {
		return nil, errAccount
	}
	cfg, err := google.JWTConfigFromJSON(file, scope)
	if err != nil {
		return nil, errAccount
	}
	if !isRSA(cfg.PrivateKey) {
		return nil, errKey
	}
	return &account{f.Project, cfg}, nil
}

func isRSA(key []byte) bool {
	block, _ := pem.Decode(key)
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return true
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	_, ok := parsed.(*rsa.PrivateKey)
	return err == nil && ok
}
