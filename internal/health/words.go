package health

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"unicode"
)

// maxShown is how many characters of a message people get to see.
const maxShown = 200

// explain says in a few words why a connection or an answer did not come.
func explain(ctx context.Context, err error) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &dns):
		return "cannot look up " + dns.Name + ": " + dns.Err
	case errors.As(err, &certificate):
		return "the certificate is not valid: " + certificate.Err.Error()
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	}
	if of, ok := errors.AsType[*url.Error](err); ok { // its text is the URL, which may hold credentials
		err = of.Err
	}
	return err.Error()
}

// oneLine makes text from outside fit to show: its first 200 characters, nothing that is not printable.
func oneLine(text string) string {
	words := strings.Join(strings.Fields(strings.Map(printable, strings.ToValidUTF8(text, " "))), " ")
	if runes := []rune(words); len(runes) > maxShown {
		return string(runes[:maxShown])
	}
	return words
}

func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}
