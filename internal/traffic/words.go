package traffic

import (
	"context"
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

// maxShown is how many characters of a router's own words people get to see.
const maxShown = 200

func refused(message string) rollout.Answer {
	return rollout.Answer{Kind: rollout.AnswerRefused, Message: message}
}

// failed is the answer to a write that ended in err: lost, unless nothing can have been written.
func failed(ctx context.Context, written bool, err error, began time.Time) rollout.Answer {
	if written {
		return rollout.Answer{Kind: rollout.AnswerLost, Message: "no answer: " + why(ctx, err, began)}
	}
	return rollout.Answer{Kind: rollout.AnswerNotSent, Message: "not sent: " + why(ctx, err, began)}
}

// why puts the failure of a connection into words, without the URL, which may hold credentials.
func why(ctx context.Context, err error, began time.Time) string {
	if of, ok := errors.AsType[*url.Error](err); ok {
		err = of.Err
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "given up"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case timedOut(err):
		return "nothing within " + since(began)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the connection was reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	default:
		return oneLine(err.Error())
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

// oneLine makes text from outside fit to show: its first 200 characters, nothing that is not printable.
func oneLine(text string) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	words := strings.Join(strings.Fields(clean), " ")
	if runes := []rune(words); len(runes) > maxShown {
		return string(runes[:maxShown])
	}
	return words
}
