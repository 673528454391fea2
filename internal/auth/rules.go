package auth

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"

	"rollcall/internal/authz"
)

// Provider is a CI system whose tokens are taken.
type Provider struct {
	// Name stands in requested_by, before the token's subject.
	Name string `json:"name"`
	// Issuer is the URL that says iss in the tokens, and under which the issuer's keys are found.
	Issuer string `json:"issuer"`
	// Audience must be among the token's aud.
	Audience string `json:"audience"`
	// Rules say what a token may do; the first that fits counts, and without one that fits the token is refused.
	Rules []Rule `json:"rules"`
}

// Rule gives a role and scopes to tokens with certain claims.
type Rule struct {
	// Claims must all be there, each with one of the values.
	Claims map[string]Values `json:"claims"`
	Role   authz.Role        `json:"role"`
	Scopes authz.Scopes      `json:"scopes"`
}

// fits reports whether a token with the claims is one that the rule is for.
func (r *Rule) fits(claims map[string]any) bool {
	for name, wanted := range r.Claims {
		if !wanted.have(claims[name]) {
			return false
		}
	}
	return len(r.Claims) > 0
}

// have reports whether a claim is one of the values. Of a claim that is a list one entry is enough.
func (v Values) have(claim any) bool {
	switch claim := claim.(type) {
	case string:
		return slices.Contains(v, claim)
	case bool:
		return slices.Contains(v, fmt.Sprint(claim))
	case []any:
		return slices.ContainsFunc(claim, func(entry any) bool {
			text, is := entry.(string)
			return is && slices.Contains(v, text)
		})
	default:
		return false
	}
}

// allowed is what the first rule that fits gives; false when none does.
func allowed(rules []Rule, claims map[string]any) (Rule, bool) {
	for i := range rules {
		if rules[i].fits(claims) {
			return rules[i], true
		}
	}
	return Rule{}, false
}

// check says what is wrong with a provider as an operator wrote it down.
func (p *Provider) check() error {
	issuer, err := url.Parse(p.Issuer)
	switch {
	case !nameForm().MatchString(p.Name):
		return fmt.Errorf("name %q must be of lower case letters, digits, dot, dash and underscore", p.Name)
	case err != nil || issuer.Host == "" || !private(issuer):
		return fmt.Errorf("issuer %q must be an https URL", p.Issuer)
	case p.Audience == "":
		return errors.New("audience must be given: without it a token made for someone else would do")
	case len(p.Rules) == 0:
		return errors.New("rules must be given: without one no token is taken")
	}
	for i := range p.Rules {
		if err := p.Rules[i].check(); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return nil
}

// private reports whether nobody on the way to the issuer can answer in its place.
func private(issuer *url.URL) bool {
	return issuer.Scheme == "https" || issuer.Scheme == "http" && loopbackHost(issuer.Host)
}

func (r *Rule) check() error {
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		if len(r.Claims[name]) == 0 {
			return fmt.Errorf("claim %q has no values", name)
		}
	}
	switch {
	case len(r.Claims) == 0:
		return errors.New("claims must be given: without one every token of the issuer would fit, whoever made it run")
	case !slices.Contains(authz.Roles(), r.Role):
		return fmt.Errorf("role %q is not one of %v", r.Role, authz.Roles())
	case len(r.Scopes) == 0:
		return errors.New("scopes must be given")
	}
	for _, s := range r.Scopes {
		if !scopeForm().MatchString(s.Service) || !scopeForm().MatchString(s.Environment) {
			return fmt.Errorf(`scope %+v must have a service and an environment, each a name or "*"`, s)
		}
	}
	return nil
}

func nameForm() *regexp.Regexp  { return regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`) }
func scopeForm() *regexp.Regexp { return regexp.MustCompile(`^(\*|[a-z0-9][a-z0-9._-]{0,62})$`) }
