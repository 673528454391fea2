package gitops

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxErrorText bounds what people are shown of an error of git, or of a request, in characters.
	MaxErrorText = 300
	// maxLabel bounds the value of a label that comes from a repository.
	maxLabel = 256
)

// TruncateText returns the text, or its beginning when it has more than so many characters.
func TruncateText(text string, limit int) string {
	runes := []rune(text)
	if len(runes) <= limit {
		return text
	}
	return string(runes[:limit-1]) + "…"
}

// LabelValue returns text of a repository as the value of a label may be.
func LabelValue(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return TruncateText(strings.Join(strings.Fields(text), " "), maxLabel)
}
