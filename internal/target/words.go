package target

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// maxShown is how many characters of an answer people get to see.
const maxShown = 200

// lost says why no answer came over a connection that existed.
func lost(ctx context.Context, err error, began time.Time) string {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "given up before an answer came"
	case timedOut(err):
		return "no answer within " + since(began)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset before an answer came"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before an answer came"
	default:
		return "no valid answer: " + bare(err)
	}
}

// notSent says why there was no connection.
func notSent(ctx context.Context, err error, began time.Time) string {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "given up before there was a connection"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &dns) && !dns.Timeout():
		return oneLine("cannot look up " + dns.Name + ": " + dns.Err)
	case timedOut(err):
		return "no connection within " + since(began)
	case errors.As(err, &certificate):
		return oneLine("the certificate is not valid: " + certificate.Err.Error())
	default:
		return "no connection: " + bare(err)
	}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func since(began time.Time) string {
	waited := time.Since(began)
	if waited < time.Second {
		return waited.Round(time.Millisecond).String()
	}
	return waited.Round(100 * time.Millisecond).String()
}

// bare is the error without the URL, which may hold credentials.
func bare(err error) string {
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err
	}
	return oneLine(err.Error())
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
