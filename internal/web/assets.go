package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static templates
var embedded embed.FS

// assets are the static files of the pages. Their path contains a hash of their content, so that a browser caches them
// without limit and never mixes two versions of the program.
type assets struct {
	version string
	files   map[string][]byte
}

func loadAssets() (*assets, error) {
	a := &assets{files: map[string][]byte{}}
	names, err := fs.Glob(embedded, "static/*")
	if err != nil {
		return nil, fmt.Errorf("list the files: %w", err)
	}
	sum := sha256.New()
	for _, name := range names {
		content, err := embedded.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		a.files[path.Base(name)] = content
		sum.Write(fmt.Appendf(content, "\n%s %d\n", name, len(content)))
	}
	a.version = hex.EncodeToString(sum.Sum(nil))[:12]
	return a, nil
}

func (a *assets) assetPath(file string) string { return root + "/static/" + a.version + "/" + file }

func (a *assets) serveFile(w http.ResponseWriter, r *http.Request) {
	content, ok := a.files[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.PathValue("version") == a.version {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, r.PathValue("file"), time.Time{}, bytes.NewReader(content))
}

// loadPages parses each page with the frame and the shared parts.
func loadPages(a *assets) (map[string]*template.Template, error) {
	base, err := template.New("frame.html").Funcs(templateFuncs(a)).ParseFS(embedded, "templates/frame.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("parse the frame: %w", err)
	}
	names, err := fs.Glob(embedded, "templates/page_*.html")
	if err != nil {
		return nil, fmt.Errorf("list the pages: %w", err)
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		page, err := base.Clone()
		if err == nil {
			page, err = page.ParseFS(embedded, name)
		}
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		pages[path.Base(name)] = page
	}
	return pages, nil
}
