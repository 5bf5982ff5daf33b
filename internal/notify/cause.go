package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
)

// Cause returns why a request has no answer. net/http quotes what it couldn't read, and so
// whatever the other side sent would end in logs and dead letters. So only errors of the
// network, of TLS and of contexts keep their text; of others the type is told.
func Cause(err error) error {
	var (
		op     *net.OpError
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
		alert  tls.AlertError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &dns), errors.As(err, &op), errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was closed without an answer")
	}
	return fmt.Errorf("no answer that can be read (%T)", err)
}
