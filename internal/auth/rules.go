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

// Provider is a CI system whose tokens are accepted.
type Provider struct {
	// Name precedes the token's subject in requested_by.
	Name string `json:"name"`
	// Issuer is the iss of the tokens, and the URL under which the issuer's keys are found.
	Issuer string `json:"issuer"`
	// Audience must be among the token's aud.
	Audience string `json:"audience"`
	// Rules grant roles and scopes; the first match counts, and a token without a match is rejected.
	Rules []Rule `json:"rules"`
}

// Rule grants a role and scopes to tokens with certain claims.
type Rule struct {
	// Claims must all be present, each with one of the values.
	Claims map[string]Values `json:"claims"`
	Role   authz.Role        `json:"role"`
	Scopes authz.Scopes      `json:"scopes"`
}

// matchesClaims reports whether the claims match the rule.
func (r *Rule) matchesClaims(claims map[string]any) bool {
	for name, wanted := range r.Claims {
		if !wanted.matchClaim(claims[name]) {
			return false
		}
	}
	return len(r.Claims) > 0
}

// matchClaim reports whether a claim has one of the values; of a list, one entry is enough.
func (v Values) matchClaim(claim any) bool {
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

// firstMatchingRule returns the first rule that matches.
func firstMatchingRule(rules []Rule, claims map[string]any) (Rule, bool) {
	for i := range rules {
		if rules[i].matchesClaims(claims) {
			return rules[i], true
		}
	}
	return Rule{}, false
}

// checkFields validates a provider.
func (p *Provider) checkFields() error {
	issuer, err := url.Parse(p.Issuer)
	switch {
	case !nameForm().MatchString(p.Name):
		return fmt.Errorf("name %q must be of lower case letters, digits, dot, dash and underscore", p.Name)
	case err != nil || issuer.Host == "" || !secureIssuer(issuer):
		return fmt.Errorf("issuer %q must be an https URL", p.Issuer)
	case p.Audience == "":
		return errors.New("audience is required: without it a token for another service would be accepted")
	case len(p.Rules) == 0:
		return errors.New("rules are required: without one no token is accepted")
	}
	for i := range p.Rules {
		if err := p.Rules[i].checkFields(); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return nil
}

// secureIssuer reports whether the connection to the issuer cannot be intercepted.
func secureIssuer(issuer *url.URL) bool {
	return issuer.Scheme == "https" || issuer.Scheme == "http" && loopbackHost(issuer.Host)
}

func (r *Rule) checkFields() error {
	for _, name := range slices.Sorted(maps.Keys(r.Claims)) {
		if len(r.Claims[name]) == 0 {
			return fmt.Errorf("claim %q has no values", name)
		}
	}
	switch {
	case len(r.Claims) == 0:
		return errors.New("claims are required: without them every token of the issuer would match")
	case !slices.Contains(authz.Roles(), r.Role):
		return fmt.Errorf("role %q is not one of %v", r.Role, authz.Roles())
	case len(r.Scopes) == 0:
		return errors.New("scopes are required")
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
