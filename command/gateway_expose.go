package command

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/leat-go/leat/bus"
)

// Expose lets commands of type C come in over HTTP, by the name of the type, through every
// [Gateway] of the Bus: here, where they are sent; they may be handled elsewhere. Nothing else can
// be sent over HTTP, also if it is handled on the Bus. It is called before Start.
//
// A body is JSON that has to be a C: unknown and repeated fields are refused, and what the
// type's own UnmarshalJSON refuses. Whatever else a command has to be its handler checks.
func Expose[C any](b *bus.Bus) {
	style := b.Style()
	style.MustBeNew("command.Expose")
	t := reflect.TypeFor[C]()
	typ, _, err := style.Message(t)
	if err == nil && t.Kind() == reflect.Pointer {
		err = errors.New("the type of a command is no pointer")
	}
	if err != nil {
		style.Mistake(fmt.Errorf("command: Expose of %v: %w", t, err))
		return
	}
	style.Keep(exposedType(typ), exposed(decode[C]))
}

// exposedType is what the Bus keeps an exposed command under.
type exposedType string

// exposed decodes the body of a command.
type exposed func(body []byte) (any, error)

func decode[C any](body []byte) (any, error) {
	var c C
	err := decodeStrictly(body, &c)
	return c, err
}

// exposed returns a command that may come in, by its type.
func (g *gateway) exposed(typ string) (exposed, bool) {
	decode, ok := g.style.Kept(exposedType(typ)).(exposed)
	return decode, ok
}
