package event

import "encoding/json"

// Codec turns values of the application into the data of events and back. It is
// chosen by content type. Implementations are safe for concurrent use.
type Codec interface {
	// ContentType returns the media type that the codec writes.
	ContentType() string
	// Encode returns the data for v. The caller owns it.
	Encode(v any) ([]byte, error)
	// Decode fills v, a pointer, from data. It doesn't keep data.
	Decode(data []byte, v any) error
}

// JSON is the codec of encoding/json, the default.
var JSON Codec = jsonCodec{}

type jsonCodec struct{}

func (jsonCodec) ContentType() string             { return "application/json" }
func (jsonCodec) Encode(v any) ([]byte, error)    { return json.Marshal(v) }
func (jsonCodec) Decode(data []byte, v any) error { return json.Unmarshal(data, v) }
