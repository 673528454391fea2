package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Values are what a claim may be. In a file one may stand alone, without the brackets of a list.
type Values []string

// UnmarshalJSON reads a text or a list of texts.
func (v *Values) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*v = Values{one}
		return nil
	}
	if err := json.Unmarshal(data, (*[]string)(v)); err != nil {
		return errors.New("the value of a claim must be a text or a list of texts")
	}
	return nil
}

// ReadProviders reads a file of the operator's: {"providers": [{"name", "issuer", "audience", "rules": [{"claims", "role",
// "scopes"}]}]}. A field that is not known is an error, because a rule that was meant and not read would let others in.
func ReadProviders(path string) ([]Provider, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the trusted issuers: %w", err)
	}
	var file struct {
		Providers []Provider `json:"providers"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("read the trusted issuers in %s: %w", path, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the trusted issuers in %s: something stands after the end", path)
	}
	seen := map[string]bool{}
	for i := range file.Providers {
		p := &file.Providers[i]
		if err := p.checkFields(); err != nil {
			return nil, fmt.Errorf("provider %d in %s: %w", i+1, path, err)
		}
		if seen[p.Name] || seen[p.Issuer] {
			return nil, fmt.Errorf("provider %d in %s: name and issuer may each be there once", i+1, path)
		}
		seen[p.Name], seen[p.Issuer] = true, true
	}
	return file.Providers, nil
}
