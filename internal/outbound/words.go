package outbound

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

	"rollcall/internal/rollout"
)

// maxShown is how many characters of somebody else's words people get to see.
const maxShown = 200

// Failed is the answer to a call that ended in err: lost, unless nothing of it can have been written.
func Failed(ctx context.Context, written bool, err error, began time.Time) rollout.CallResult {
	if written {
		return rollout.CallResult{Kind: rollout.ResultUnknown, Message: "no answer: " + Why(ctx, err, began)}
	}
	return rollout.CallResult{Kind: rollout.ResultNotSent, Message: "not sent: " + Why(ctx, err, began)}
}

// Why says in a few words why a connection or an answer did not come, without the URL, which may hold credentials.
func Why(ctx context.Context, err error, began time.Time) string {
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err
	}
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "given up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &dns) && !dns.Timeout():
		return OneLine("cannot look up " + dns.Name + ": " + dns.Err)
	case timedOut(ctx, err):
		return "nothing within " + since(began)
	case errors.As(err, &certificate):
		return OneLine("the certificate is not valid: " + certificate.Err.Error())
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	default:
		return OneLine(err.Error())
	}
}

func timedOut(ctx context.Context, err error) bool {
	var timeout net.Error
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func since(began time.Time) string {
	waited := time.Since(began)
	if waited < time.Second {
		return waited.Round(time.Millisecond).String()
	}
	return waited.Round(100 * time.Millisecond).String()
}

// OneLine makes text from outside fit to show: its first 200 characters, nothing that is not printable.
func OneLine(text string) string {
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
