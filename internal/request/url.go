package request

import (
	"errors"
	"strings"
)

const leadingAddress = "{" + Address + "}"

var (
	errAfterAddress = errors.New(`must continue with "/" or "?" after ` + leadingAddress + `: anything else could change the host or port`)
	errNoBase       = errors.New("must be an absolute http or https URL, or begin with " + leadingAddress)
	errBaseFilled   = errors.New("must not have a placeholder in its scheme, host or port")
	errURLText      = errors.New(`must have no spaces, control characters, backslashes or "#"`)
	errPercent      = errors.New(`has a "%" that is not followed by two hexadecimal digits`)
	errDotSegment   = errors.New(`has the segment "." or ".." in its path`)
)

// splitURL divides a URL before its path and query. base is empty when it begins with the target's address.
func splitURL(text string) (base, rest string, err error) {
	if rest, found := strings.CutPrefix(text, leadingAddress); found {
		if rest != "" && rest[0] != '/' && rest[0] != '?' {
			return "", "", errAfterAddress
		}
		return "", rest, checkURLText(rest)
	}
	scheme, after, found := strings.Cut(text, "://")
	if !found {
		return "", "", errNoBase
	}
	end := len(after)
	if i := strings.IndexAny(after, `/?#\`); i >= 0 {
		end = i
	}
	base, rest = text[:len(scheme)+len("://")+end], after[end:]
	switch {
	case strings.ContainsAny(base, "{}"):
		return "", "", errBaseFilled
	case !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https"), end == 0:
		return "", "", errNoBase
	}
	return base, rest, checkURLText(base + rest)
}

// Base returns scheme, host and port of a URL, or none where it begins with the target's address.
func Base(text string) string {
	base, _, _ := splitURL(text)
	return base
}

func checkURLText(text string) error {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c == 0x7f || c == '\\' || c == '#' {
			return errURLText
		}
	}
	return nil
}

// CheckURL returns what is wrong with a URL whatever its values are.
func CheckURL(text string, known Names) error {
	_, rest, err := splitURL(text)
	if err != nil {
		return err
	}
	parts, err := parseTemplate(rest)
	if err != nil {
		return err
	}
	if err := checkNames(parts, known); err != nil {
		return err
	}
	for _, p := range parts {
		if !validEscapes(p.literal) {
			return errPercent
		}
	}
	_, err = fillPath(parts, func(string) (Value, bool) { return Value{Text: "x"}, true })
	return err
}

func validEscapes(text string) bool {
	for i := range len(text) {
		if text[i] == '%' && (i+2 >= len(text) || !isHex(text[i+1]) || !isHex(text[i+2])) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return hexValue(c) >= 0 }

func hexValue(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}

// RenderURL returns a URL with its placeholders filled in. Only path and query can have any besides a leading {target.address}.
func RenderURL(text string, values Values) (string, error) {
	base, rest, err := splitURL(text)
	if err != nil {
		return "", err
	}
	if base == "" {
		address, err := lookUp(Address, values)
		if err != nil {
			return "", err
		}
		base = strings.TrimRight(address.Text, "/")
	}
	parts, err := parseTemplate(rest)
	if err != nil {
		return "", err
	}
	filled, err := fillPath(parts, values)
	return base + filled, err
}

// fillPath returns path and query, with each value percent-encoded.
func fillPath(parts []part, values Values) (string, error) {
	var filled strings.Builder
	for _, p := range parts {
		text := escapeLiteral(p.literal)
		if p.isPlaceholder() {
			value, err := lookUp(p.name, values)
			if err != nil {
				return "", err
			}
			text = percentEncode(value.Text)
		}
		filled.WriteString(text)
	}
	path, _, _ := strings.Cut(filled.String(), "?")
	if hasDotSegment(path) {
		return "", errDotSegment
	}
	return filled.String(), nil
}

// hasDotSegment reports whether a path has a segment that is "." or "..", also behind a slash that is percent-encoded: some
// receivers decode that before they resolve segments.
func hasDotSegment(path string) bool {
	decoded := percentDecode(path)
	for segment := range strings.FieldsFuncSeq(decoded, func(r rune) bool { return r == '/' || r == '\\' }) {
		name, _, _ := strings.Cut(segment, ";") // parameters of a segment are ignored by some
		if name == "." || name == ".." {
			return true
		}
	}
	return false
}

const upperHex = "0123456789ABCDEF"

// percentEncode encodes all but the unreserved characters of RFC 3986, so that a value stays within a segment of a path, or
// a value of a query or form.
func percentEncode(text string) string {
	return encodeBytes(text, func(c byte) bool { return !isUnreserved(c) })
}

// escapeLiteral encodes what people write in a URL though it cannot stand there.
func escapeLiteral(text string) string {
	return encodeBytes(text, func(c byte) bool { return c >= 0x80 || strings.IndexByte("{}\"<>^`|", c) >= 0 })
}

func encodeBytes(text string, must func(byte) bool) string {
	var encoded strings.Builder
	for i := range len(text) {
		if c := text[i]; must(c) {
			encoded.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		} else {
			encoded.WriteByte(c)
		}
	}
	return encoded.String()
}

func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func percentDecode(text string) string {
	var decoded strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
			decoded.WriteByte(byte(hexValue(text[i+1])<<4 | hexValue(text[i+2]))) //nolint:gosec // two hexadecimal digits are a byte
			i += 2
			continue
		}
		decoded.WriteByte(text[i])
	}
	return decoded.String()
}
