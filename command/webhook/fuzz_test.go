package webhook

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is read of a header stands in it, and no more than the bound.
func FuzzSignatures(f *testing.F) {
	good := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	for _, s := range []string{"", " ", good, good + " " + good, "v1," + good, "v1a,x= " + good + " v2,", "v1,====", "v1,\n" + good[4:]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		all := signaturesIn(header)
		require.LessOrEqual(t, len(all), maxSignatures)
		rest := strings.Split(header, " ")
		for _, s := range all {
			text := version + base64.StdEncoding.EncodeToString(s[:])
			for len(rest) > 0 && rest[0] != text {
				rest = rest[1:]
			}
			require.NotEmpty(t, rest, "in order, each as it was written")
			rest = rest[1:]
		}
	})
}

// Nothing but what was signed is accepted.
func FuzzVerify(f *testing.F) {
	secret := Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	id, at, body := "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`
	good := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	f.Add(id, at, good, body)
	f.Add(id+".", at, good, body)
	f.Add("", "", "", "")
	f.Add(id, "99999999999999999999", good, body)
	f.Fuzz(func(t *testing.T, gotID, gotAt, header, gotBody string) {
		h := http.Header{headerID: {gotID}, headerTimestamp: {gotAt}, headerSignature: {header}}
		err := Verify([]Secret{secret}, h, []byte(gotBody), time.Unix(1614265330, 0))
		if gotID == id && gotAt == at && gotBody == body && strings.Contains(" "+header+" ", " "+good+" ") && strings.Count(header, " ") < maxSignatures {
			require.NoError(t, err)
			return
		}
		if gotID != id || gotAt != at || gotBody != body {
			require.Error(t, err)
		}
	})
}

// A secret is accepted by its length alone, and its error doesn't quote it.
func FuzzSecret(f *testing.F) {
	for _, s := range []string{"", "whsec_", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_====", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := Secret(text).key()
		if err != nil {
			require.Equal(t, ErrSecret, err)
			return
		}
		require.Equal(t, text, secretPrefix+base64.StdEncoding.EncodeToString(key))
		require.True(t, len(key) >= minSecret && len(key) <= maxSecret)
	})
}
