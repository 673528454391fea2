package egress

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

// maxSanitized is the maximum length of text from outside.
const maxSanitized = 200

// FailedCall returns the result of a call that failed with err: unknown, unless nothing of it can have been written.
func FailedCall(ctx context.Context, written bool, err error, began time.Time) rollout.CallResult {
	if written {
		return rollout.CallResult{Kind: rollout.ResultUnknown, Message: "no answer: " + ErrorText(ctx, err, began)}
	}
	return rollout.CallResult{Kind: rollout.ResultNotSent, Message: "not sent: " + ErrorText(ctx, err, began)}
}

// ErrorText returns why there was no connection or response, without the URL, which may hold credentials.
func ErrorText(ctx context.Context, err error, began time.Time) string {
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
		return Sanitize("cannot look up " + dns.Name + ": " + dns.Err)
	case timedOut(ctx, err):
		return "nothing within " + elapsedText(began)
	case errors.As(err, &certificate):
		return Sanitize("the certificate is not valid: " + certificate.Err.Error())
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	default:
		return Sanitize(err.Error())
	}
}

func timedOut(ctx context.Context, err error) bool {
	var timeout net.Error
	return errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func elapsedText(began time.Time) string {
	waited := time.Since(began)
	if waited < time.Second {
		return waited.Round(time.Millisecond).String()
	}
	return waited.Round(100 * time.Millisecond).String()
}

// Sanitize makes text from outside fit to show: its first 200 characters, without what is not printable.
func Sanitize(text string) string {
	words := strings.Join(strings.Fields(strings.Map(replaceUnprintable, strings.ToValidUTF8(text, " "))), " ")
	if runes := []rune(words); len(runes) > maxSanitized {
		return string(runes[:maxSanitized])
	}
	return words
}

func replaceUnprintable(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}
