package guard

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// asciiHost returns the host as HTTP clients ask for it: another script may spell an address or a name of this machine, too.
func asciiHost(host string) (string, error) {
	if !strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return host, nil
	}
	name, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("%w: its host is not a name", ErrRefused)
	}
	return name, nil
}

// endsInNumber reports whether programs take the name for an IPv4 address, each in its own way (0x7f.1, 0177.0.0.1, 2130706433):
// its last label is a number (WHATWG URL, "ends in a number"). No name of a host is such a one.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, found := strings.CutPrefix(last, "0x"); found {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}
