package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/firn-io/firn/connect/entities"
)

// router serves groups of endpoints.
func (s *Server) router(groups ...func(r chi.Router)) http.Handler { return s.front(s.mux(groups...)) }

func (s *Server) mux(groups ...func(r chi.Router)) *chi.Mux {
	r := chi.NewRouter()
	r.NotFound(func(w http.ResponseWriter, _ *http.Request) { s.plain(w, http.StatusNotFound) })
	r.MethodNotAllowed(func(w http.ResponseWriter, _ *http.Request) { s.plain(w, http.StatusMethodNotAllowed) })

	for _, endpoints := range groups {
		endpoints(r)
	}
	return r
}

// endpoints are all but those of /admin. (Source:
// org.apache.kafka.connect.runtime.rest.resources.)
func (s *Server) endpoints(r chi.Router) {
	// Requests of other workers, who have no password: the herder checks their signature.
	r.Post("/connectors/{name}/tasks", s.handle(s.putTasks))
	r.Put("/connectors/{name}/fence", s.handle(s.fence))

	r = s.forUsers(r)
	r.Get("/", s.handle(s.root))
	r.Get("/health", s.handle(s.health))
	r.Get("/openapi.json", s.handle(s.openAPI))

	r.Get("/connectors", s.handle(s.connectors))
	r.Post("/connectors", s.handle(s.create))
	r.Get("/connectors/{name}", s.handle(s.connector))
	r.Delete("/connectors/{name}", s.handle(s.delete))
	r.Get("/connectors/{name}/config", s.handle(s.config))
	r.Put("/connectors/{name}/config", s.handle(s.putConfig))
	r.Patch("/connectors/{name}/config", s.handle(s.patchConfig))
	r.Get("/connectors/{name}/status", s.handle(s.status))
	r.Put("/connectors/{name}/pause", s.handle(s.target(entities.Paused, http.StatusAccepted)))
	r.Put("/connectors/{name}/resume", s.handle(s.target(entities.Started, http.StatusAccepted)))
	r.Put("/connectors/{name}/stop", s.handle(s.target(entities.Stopped, http.StatusNoContent)))
	r.Post("/connectors/{name}/restart", s.handle(s.restart))
	r.Get("/connectors/{name}/tasks", s.handle(s.tasks))
	r.Get("/connectors/{name}/tasks/{task}/status", s.handle(s.taskStatus))
	r.Post("/connectors/{name}/tasks/{task}/restart", s.handle(s.restartTask))
	r.Get("/connectors/{name}/topics", s.handle(s.topics))
	r.Put("/connectors/{name}/topics/reset", s.handle(s.resetTopics))
	r.Get("/connectors/{name}/offsets", s.handle(s.offsets))
	r.Patch("/connectors/{name}/offsets", s.handle(s.alterOffsets))
	r.Delete("/connectors/{name}/offsets", s.handle(s.resetOffsets))

	r.Get("/connector-plugins", s.handle(s.plugins))
	r.Get("/connector-plugins/{plugin}/config", s.handle(s.pluginConfig))
	r.Put("/connector-plugins/{plugin}/config/validate", s.handle(s.validate))
}

// adminEndpoints are those of administrators.
func (s *Server) adminEndpoints(r chi.Router) {
	r = s.forUsers(r)
	r.Get("/admin/loggers", s.handle(s.loggers))
	r.Get("/admin/loggers/{logger}", s.handle(s.logger))
	r.Put("/admin/loggers/{logger}", s.handle(s.setLogger))
}

// forUsers is r with a password asked for, if there are users.
func (s *Server) forUsers(r chi.Router) chi.Router {
	if s.users == nil {
		return r
	}
	return r.With(s.authenticate)
}

// front prepares a request for the router: paths stay escaped, because names hold
// anything; a trailing slash does not count; HEAD is answered as GET, and OPTIONS from
// the routes.
func (s *Server) front(r *chi.Mux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		path := req.URL.EscapedPath()
		if strings.Contains(path, "//") {
			s.fail(w, req, entities.BadRequest("Ambiguous URI empty segment"))
			return
		}
		if len(path) > 1 {
			path = strings.TrimSuffix(path, "/")
		}
		rctx := chi.NewRouteContext()
		rctx.RoutePath = path
		switch req.Method {
		case http.MethodHead:
			req = req.Clone(req.Context())
			req.Method = http.MethodGet // the server sends no body, having seen HEAD
		case http.MethodOptions:
			s.options(w, r, path)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithValue(req.Context(), chi.RouteCtxKey, rctx), requestTimeout)
		ctx = entities.WithAuthorization(ctx, req.Header.Get("Authorization"))
		defer cancel()
		r.ServeHTTP(w, req.WithContext(ctx))
	})
}

// methods are all that there are, in the order in which Java's hash set has them.
var methods = []string{http.MethodHead, http.MethodDelete, http.MethodPost, http.MethodGet, http.MethodOptions, http.MethodPut, http.MethodPatch}

// options tells which methods a path has.
func (s *Server) options(w http.ResponseWriter, r *chi.Mux, path string) {
	var allowed []string
	for _, m := range methods {
		route := m
		if m == http.MethodHead {
			route = http.MethodGet
		}
		if m != http.MethodOptions && r.Match(chi.NewRouteContext(), route, path) {
			allowed = append(allowed, m)
		}
	}
	if allowed == nil {
		s.plain(w, http.StatusNotFound)
		return
	}
	allowed = append(allowed, http.MethodOptions)
	slices.SortFunc(allowed, func(a, b string) int { return slices.Index(methods, a) - slices.Index(methods, b) })
	w.Header().Set("Allow", strings.Join(allowed, ","))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
}

// A request is what a handler gets: the body has been read.
type request struct {
	*http.Request
	body []byte
}

// param is a part of the path, unescaped.
func (r *request) param(key string) string {
	raw := chi.URLParam(r.Request, key)
	if name, err := url.PathUnescape(raw); err == nil {
		return name
	}
	return raw
}

// task is the number of a task in the path. Java's router knows no other tasks.
func (r *request) task() (int, error) {
	n, err := strconv.ParseInt(r.param("task"), 10, 32)
	if err != nil {
		return 0, entities.NotFound("HTTP 404 Not Found")
	}
	return int(n), nil
}

// flag tells whether a query parameter is true; any other text is false.
func (r *request) flag(key string) bool { return strings.EqualFold(r.URL.Query().Get(key), "true") }

// A plainError is the status of a request that Java's server refuses before a resource sees it.
type plainError int

func (e plainError) Error() string { return http.StatusText(int(e)) }

// acceptsJSON tells whether a client that names the types that it takes takes JSON.
func acceptsJSON(accept []string) bool {
	if len(accept) == 0 {
		return true
	}
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil {
			media, params = strings.TrimSpace(part), nil
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q == 0 {
			continue
		}
		if slices.Contains([]string{"application/json", "application/*", "*/*", "*", ""}, media) {
			return true
		}
	}
	return false
}

// An answer is what a handler wants to be sent. A nil body is none.
type answer struct {
	status   int
	body     any
	location string // name of the connector that was created
}

func ok(body any) (*answer, error) { return &answer{status: http.StatusOK, body: body}, nil }

// handle reads the body, calls the handler and sends its answer; errors are rendered in
// one place, and a redirection becomes a request to the worker that can handle it.
func (s *Server) handle(h func(r *request) (*answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		r, err := read(w, req)
		if err == nil {
			var a *answer
			if a, err = h(r); err == nil {
				s.send(w, req, a)
				return
			}
			if redirect, ok := errors.AsType[*entities.RedirectError](err); ok {
				s.forward(w, r, redirect.URL)
				return
			}
		}
		s.fail(w, req, err)
	}
}

// read reads a body of bounded size, which must be JSON if there is one.
func read(w http.ResponseWriter, req *http.Request) (*request, error) {
	if req.ContentLength != 0 {
		given := req.Header.Get("Content-Type")
		switch media, _, err := mime.ParseMediaType(given); {
		case given == "":
			return nil, &entities.Error{Status: http.StatusUnsupportedMediaType, Message: "HTTP 415 Unsupported Media Type"}
		case err != nil || media != "application/json":
			return nil, plainError(http.StatusUnsupportedMediaType)
		}
	}
	if !acceptsJSON(req.Header.Values("Accept")) {
		return nil, plainError(http.StatusNotAcceptable)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &entities.Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the body is longer than %d bytes", maxBodyBytes)}
	}
	if err != nil {
		return nil, entities.BadRequest("read the body: " + err.Error())
	}
	return &request{req, body}, nil
}

func (s *Server) send(w http.ResponseWriter, req *http.Request, a *answer) {
	if a.location != "" {
		w.Header().Set("Location", location(req, a.location))
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a.body); err != nil {
		s.fail(w, req, fmt.Errorf("encode the answer: %w", err))
		return
	}
	s.write(w, a.status, "application/json", bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

func (s *Server) write(w http.ResponseWriter, status int, contentType string, body []byte) {
	if contentType == "" {
		w.Header()["Content-Type"] = nil // else the server would guess one
	} else {
		w.Header().Set("Content-Type", contentType)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		s.log.Debug("Answer not sent", "error", err)
	}
}

func location(req *http.Request, name string) string {
	scheme := "http://"
	if req.TLS != nil {
		scheme = "https://"
	}
	return scheme + req.Host + "/connectors/" + url.PathEscape(name)
}

type errorBody struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}

func encodeError(status int, message string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(errorBody{status, message}) // it holds nothing that cannot be encoded
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// plain is the answer of Java's server before a resource is found: no Content-Type.
func (s *Server) plain(w http.ResponseWriter, status int) {
	s.write(w, status, "", encodeError(status, fmt.Sprintf("HTTP %d %s", status, http.StatusText(status))))
}

// fail renders an error.
func (s *Server) fail(w http.ResponseWriter, req *http.Request, err error) {
	e, ok := errors.AsType[*entities.Error](err)
	status, refused := errors.AsType[plainError](err)
	switch {
	case refused:
		s.plain(w, int(status))
		return
	case ok:
	case errors.Is(err, context.DeadlineExceeded):
		e = &entities.Error{Status: http.StatusInternalServerError, Message: "Request timed out. The worker has not come to it within 90 seconds, or what it had to wait for takes longer."}
	default:
		e = &entities.Error{Status: http.StatusInternalServerError, Message: err.Error()}
	}
	if e.Status == http.StatusInternalServerError {
		s.log.Error("Request failed", "method", req.Method, "path", req.URL.Path, "error", err)
	}
	s.write(w, e.Status, "application/json", encodeError(e.Status, e.Message))
}
