package registry

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/go-chi/chi/v5"
)

// maxBodyBytes bounds a request; Kafka's default message.max.bytes bounds the
// record that would hold it.
const maxBodyBytes = 1 << 20

// A handler answers with a body or an error; serve renders either.
type handler func(r *http.Request, st *state) (any, error)

func (r *Registry) routes() http.Handler {
	mux := chi.NewRouter()
	mux.NotFound(func(w http.ResponseWriter, _ *http.Request) { renderError(w, errHTTP(http.StatusNotFound)) })
	mux.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) { renderError(w, errHTTP(http.StatusMethodNotAllowed)) })

	mux.Get("/", r.serve(func(*http.Request, *state) (any, error) { return struct{}{}, nil }))
	mux.Get("/schemas/types", r.serve(func(*http.Request, *state) (any, error) { return []string{typeAvro}, nil }))
	mux.Get("/schemas/ids/{id}", r.serve(getSchema))
	mux.Get("/schemas/ids/{id}/schema", r.serve(getSchemaText))
	mux.Get("/schemas/ids/{id}/versions", r.serve(getSchemaVersions))
	mux.Get("/schemas/ids/{id}/subjects", r.serve(getSchemaSubjects))

	mux.Get("/subjects", r.serve(listSubjects))
	mux.Post("/subjects/{subject}", r.serve(lookup))
	mux.Delete("/subjects/{subject}", r.serve(r.deleteSubject))
	mux.Get("/subjects/{subject}/versions", r.serve(listVersions))
	mux.Post("/subjects/{subject}/versions", r.serve(r.register))
	mux.Get("/subjects/{subject}/versions/{version}", r.serve(getVersion))
	mux.Get("/subjects/{subject}/versions/{version}/schema", r.serve(getVersionText))
	mux.Delete("/subjects/{subject}/versions/{version}", r.serve(r.deleteVersion))

	mux.Post("/compatibility/subjects/{subject}/versions", r.serve(checkCompatibility))
	mux.Post("/compatibility/subjects/{subject}/versions/{version}", r.serve(checkCompatibility))

	for _, path := range []string{"/config", "/config/{subject}"} {
		mux.Get(path, r.serve(getLevel))
		mux.Put(path, r.serve(r.putLevel))
		mux.Delete(path, r.serve(r.deleteLevel))
	}
	for _, path := range []string{"/mode", "/mode/{subject}"} {
		mux.Get(path, r.serve(getMode))
		mux.Put(path, r.serve(r.putMode))
		mux.Delete(path, r.serve(r.deleteMode))
	}
	return mux
}

// serve runs h in the goroutine that owns the state. The request's body is read
// before, so that a slow client holds up nobody.
func (r *Registry) serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBodyBytes))
		if err != nil {
			renderError(w, errBody(err))
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		var answer any
		err = r.ask(req.Context(), func(st *state) (err error) {
			answer, err = h(req, st)
			return err
		})
		if err != nil {
			renderError(w, err)
			return
		}
		render(w, http.StatusOK, answer)
	}
}

func pathParam(r *http.Request, name string) string {
	raw := chi.URLParam(r, name) // escaped as it came
	if text, err := url.PathUnescape(raw); err == nil {
		return text
	}
	return raw
}

func flag(r *http.Request, name string) bool {
	on, err := strconv.ParseBool(r.URL.Query().Get(name))
	return err == nil && on
}

func idParam(r *http.Request) (int, error) {
	id, err := strconv.ParseInt(pathParam(r, "id"), 10, 32)
	if err != nil {
		return 0, errHTTP(http.StatusNotFound)
	}
	return int(id), nil
}

// versionParam finds the version that the path names: a number, "latest" or -1.
func versionParam(r *http.Request, st *state) (subject string, v *version, err error) {
	subject = pathParam(r, "subject")
	text := pathParam(r, "version")
	number := int64(math.MaxInt32)
	if text != "latest" && text != "-1" && text != "" {
		if number, err = strconv.ParseInt(text, 10, 32); err != nil || number < 1 {
			return "", nil, errInvalidVersion(text)
		}
	}
	shown := st.live(subject, flag(r, "deleted"))
	if len(shown) == 0 {
		return subject, nil, errSubject(subject)
	}
	if number == math.MaxInt32 {
		return subject, shown[len(shown)-1], nil
	}
	for _, v := range shown {
		if v.number == int(number) {
			return subject, v, nil
		}
	}
	return subject, nil, errVersion(int(number))
}

func decodeBody(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return errBody(err)
	}
	return nil
}
