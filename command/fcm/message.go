package fcm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/leat-go/leat/command"
)

// Message is what a user is told: a notification, data for the app, or both. It is sent to
// each of the user's tokens.
type Message struct {
	Title, Body string            // of the notification; both empty: none
	Data        map[string]string // for the app; see ErrKey for what can't be a key
}

// MaxMessage is how many bytes a message can have (FCM reference, ErrorCode: "Message too
// big"): the title, the body, and the keys and values of the data, as UTF-8.
const MaxMessage = 4096

// Why a message is refused before it is sent.
var (
	// ErrTooLarge is the error of a message of more than [MaxMessage] bytes.
	ErrTooLarge = errors.New("fcm: the message is too large")
	// ErrKey is the error of data with a key that is empty or that FCM keeps for itself
	// (FCM reference, Message.data): from, message_type, and all that begin with google
	// or gcm.
	ErrKey = errors.New("fcm: a key of the data can't be used")
)

// plainMessage is the message of an operation where the application says no other.
func plainMessage(o command.Operation) Message {
	return Message{Data: map[string]string{
		"operation": o.ID, "name": o.Name, "state": string(o.State), "version": strconv.FormatInt(o.Version, 10),
	}}
}

func (m Message) empty() bool { return m.Title == "" && m.Body == "" && len(m.Data) == 0 }

// check refuses what FCM would refuse.
func (m Message) check() error {
	size := len(m.Title) + len(m.Body)
	for _, key := range slices.Sorted(maps.Keys(m.Data)) {
		if reserved(key) {
			return fmt.Errorf("%w: %.40q", ErrKey, key)
		}
		size += len(key) + len(m.Data[key])
	}
	if size > MaxMessage {
		return fmt.Errorf("%w: %d bytes, and %d are the most", ErrTooLarge, size, MaxMessage)
	}
	return nil
}

func reserved(key string) bool {
	return key == "" || key == "from" || key == "message_type" || strings.HasPrefix(key, "google") || strings.HasPrefix(key, "gcm")
}

// request is what the API takes.
type request struct {
	Message wireMessage `json:"message"`
}

type wireMessage struct {
	Token        string            `json:"token"`
	Notification *notification     `json:"notification,omitempty"`
	Data         map[string]string `json:"data,omitempty"`
}

type notification struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`
}

// encode returns the request that sends the message to a token.
func (m Message) encode(token string) ([]byte, error) {
	w := wireMessage{Token: token, Data: m.Data}
	if m.Title != "" || m.Body != "" {
		w.Notification = &notification{m.Title, m.Body}
	}
	return json.Marshal(request{w})
}
