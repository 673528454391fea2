package web

import (
	"net/http"

	"rollcall/internal/authz"
	"rollcall/internal/gitsource"
	"rollcall/internal/rollout"
)

// sourcesPage is the Git sources, and how what runs stands to what they say.
type sourcesPage struct {
	Items []gitsource.Report
	Next  string
}

// sourcePage is one source with its files.
type sourcePage struct {
	gitsource.Report
	Sync bool
}

const sourcesPerPage = 100

// seesSources says who may see sources: they are about everything, so only who sees everything.
func (v *visit) seesSources() error { return v.sees(authz.Any, authz.Any) }

func (s *site) showSources(v *visit) error {
	if err := v.seesSources(); err != nil {
		return err
	}
	list, err := s.Store.Sources(v.r.Context(), rollout.Page{Limit: sourcesPerPage, Cursor: v.r.FormValue("cursor")})
	if err != nil {
		return err
	}
	s.show(v, "page_sources.html", "Git sources", "gitops", sourcesPage{Items: list.Items, Next: list.NextCursor})
	return nil
}

// source is the one that the path names.
func (s *site) source(v *visit) (page sourcePage, err error) {
	if err := v.seesSources(); err != nil {
		return page, err
	}
	page.Report, err = s.Store.Source(v.r.Context(), v.path("name"))
	page.Sync = v.may(authz.PermissionDeploy, authz.Any, authz.Any)
	return page, err
}

func (s *site) showSource(v *visit) error {
	page, err := s.source(v)
	if err != nil {
		return err
	}
	s.show(v, "page_source.html", page.Source.Name, "gitops", page)
	return nil
}

// showSync asks whether the source shall be read now.
func (s *site) showSync(v *visit) error {
	page, err := s.source(v)
	if err != nil {
		return err
	}
	s.show(v, "page_sync.html", "Sync "+page.Source.Name+"?", "gitops", page)
	return nil
}

func (s *site) doSync(v *visit) error {
	if err := ours(v.r); err != nil {
		return err
	}
	page, err := s.source(v)
	if err != nil {
		return err
	}
	var said map[string]any
	if err := s.ask(v, "/gitops/sources/"+page.Source.Name+"/sync", nil, map[string]any{}, &said); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, root+"/gitops/"+page.Source.Name, http.StatusSeeOther)
	return nil
}
