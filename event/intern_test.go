package event

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInternedHeadsAreShared(t *testing.T) {
	a, b := New("/shared", "shared", nil), New("/shared", "shared", nil)
	assert.Same(t, a.c.head, b.c.head)
	assert.Same(t, a.c.head, a.WithSource("/other").WithSource("/shared").c.head)
	assert.NotSame(t, a.c.head, a.WithSchema("urn:s").c.head)
}

func TestInternIsBoundedAndNeverWrong(t *testing.T) {
	long := strings.Repeat("x", MaxAttributeValue-10)
	for i := range 20_000 {
		source, typ := fmt.Sprintf("/%d", i%97), fmt.Sprintf("t%d", i)
		if i%10 == 0 || i > 15_000 {
			typ += long
		}
		e := Attributes{ID: "1", Source: source, Type: typ, ContentType: "text/plain", Schema: "urn:s"}.Event()
		require.Equal(t, [4]string{source, typ, "text/plain", "urn:s"}, [4]string{e.Source(), e.Type(), e.ContentType(), e.Schema()})
	}
	bytes := 0
	for i := range heads {
		if h := heads[i].Load(); h != nil {
			bytes += int(unsafe.Sizeof(*h)) + len(h.source) + len(h.typ) + len(h.contentType) + len(h.schema) + cap(h.json)
		}
	}
	assert.Less(t, bytes, 2<<20)
	assert.NotZero(t, bytes)
}

func TestInternKeepsNoneOfTheStrings(t *testing.T) {
	buf := []byte("/from-a-buffer")
	e := New(view(buf), "t", nil)
	buf[1] = 'X'
	assert.Equal(t, "/from-a-buffer", e.Source())
	only := intern("", view([]byte("only-one-of-four")), "", "")
	assert.Equal(t, "only-one-of-four", only.typ)

	text := "/the-only-one"
	h := makeHead(text, "", "", "")
	assert.NotSame(t, unsafe.StringData(text), unsafe.StringData(h.source))
}

func TestHeadCounts(t *testing.T) {
	h := makeHead("/s", "t", "", "urn:s")
	assert.Equal(t, 3, h.count)
	assert.Equal(t, len("source/s")+len("typet")+len("dataschemaurn:s"), h.size)
	require.NoError(t, h.bad)
	require.Error(t, makeHead("", "t", "", "").bad)
	assert.Empty(t, makeHead("", "t", "", "").json)
}

func TestFormOfContentTypes(t *testing.T) {
	for contentType, want := range map[string]dataForm{
		"": formJSON, "application/json": formJSON, "APPLICATION/JSON": formJSON, "text/json": formJSON, "application/json; charset=utf-8": formJSON,
		"application/vnd.order.v2+json": formJSON, "application/vnd.order+JSON ;a=b": formJSON,
		"application/jsonx": formBinary, "json": formBinary, "application/json+zip": formBinary,
		"text/plain": formText, "Text/CSV": formText, "application/xml": formText, "image/svg+xml": formText, "application/yaml": formText,
		"text/plain; charset=UTF-8": formText, `text/plain; a=b; charset="us-ascii"`: formText,
		"text/plain; charset=iso-8859-1": formBinary, `text/xml;charset="utf-16"`: formBinary,
		"application/octet-stream": formBinary, "application/protobuf": formBinary, "image/png": formBinary,
	} {
		assert.Equal(t, want, formOf(contentType), contentType)
	}
}

func TestCommonNames(t *testing.T) {
	for i, name := range commonNames {
		assert.Equal(t, i, commonName(name), name)
		assert.Equal(t, "ce_"+name, kafkaKeys[i])
		assert.Equal(t, "ce-"+name, httpKeys[i])
	}
	assert.Equal(t, -1, commonName("own"))
}
