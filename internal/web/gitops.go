package web

import (
	"net/http"

	"rollcall/internal/authz"
	"rollcall/internal/gitsource"
	"rollcall/internal/storage"
)

// sourcesPage lists the Git sources and their sync status.
type sourcesPage struct {
	Items []gitsource.Report
	Next  string
}

// sourcePage shows one source and its files.
type sourcePage struct {
	gitsource.Report
	CanSync bool
}

const sourcesPerPage = 100

// requireReadAll restricts sources to users without scopes: a source may manage any service.
func (v *pageRequest) requireReadAll() error { return v.requireRead(authz.Any, authz.Any) }

func (s *site) showSources(v *pageRequest) error {
	if err := v.requireReadAll(); err != nil {
		return err
	}
	list, err := s.Store.Sources(v.r.Context(), storage.Page{Limit: sourcesPerPage, Cursor: v.r.FormValue("cursor")})
	if err != nil {
		return err
	}
	s.renderPage(v, "page_sources.html", "Git sources", "gitops", sourcesPage{Items: list.Items, Next: list.NextCursor})
	return nil
}

// readSource returns the source in the path.
func (s *site) readSource(v *pageRequest) (page sourcePage, err error) {
	if err := v.requireReadAll(); err != nil {
		return page, err
	}
	page.Report, err = s.Store.Source(v.r.Context(), v.pathValue("name"))
	page.CanSync = v.isAllowed(authz.PermissionDeploy, authz.Any, authz.Any)
	return page, err
}

func (s *site) showSource(v *pageRequest) error {
	page, err := s.readSource(v)
	if err != nil {
		return err
	}
	s.renderPage(v, "page_source.html", page.Source.Name, "gitops", page)
	return nil
}

// showSync shows the confirmation of a sync.
func (s *site) showSync(v *pageRequest) error {
	page, err := s.readSource(v)
	if err != nil {
		return err
	}
	s.renderPage(v, "page_sync.html", "Sync "+page.Source.Name+"?", "gitops", page)
	return nil
}

func (s *site) startSync(v *pageRequest) error {
	if err := verifyCSRF(v.r); err != nil {
		return err
	}
	page, err := s.readSource(v)
	if err != nil {
		return err
	}
	var response map[string]any
	if err := s.postAPI(v, "/gitops/sources/"+page.Source.Name+"/sync", nil, map[string]any{}, &response); err != nil {
		return err
	}
	http.Redirect(v.w, v.r, root+"/gitops/"+page.Source.Name, http.StatusSeeOther)
	return nil
}
