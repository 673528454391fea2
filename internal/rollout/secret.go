package rollout

import (
	"fmt"
	"log/slog"
)

// Secret is a string that prints as "***" wherever it is formatted, logged or encoded. Reveal gives the value.
type Secret string

const hidden = "***"

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// Format prints "***" for every verb, or nothing when the secret is empty.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		_, _ = f.Write([]byte(hidden)) // fmt.State keeps its own errors
	}
}

// MarshalText encodes "***", or nothing when the secret is empty.
func (s Secret) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }

// LogValue logs "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }
