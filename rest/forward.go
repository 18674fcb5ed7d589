package rest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/firn-io/firn/connect/entities"
)

const (
	textNoLeader = "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway."
	textConflict = "Cannot complete request because of a conflicting operation (e.g. worker rebalance)"
)

// forward sends a request on to the worker at target and relays its answer. A request
// makes two hops at most, told by the query parameter forward: to the leader, and from
// it to the owner.
func (s *Server) forward(w http.ResponseWriter, r *request, target string) {
	next := "true"
	switch hop := r.URL.Query().Get("forward"); {
	case strings.EqualFold(hop, "true"):
		next = "false"
	case hop != "":
		s.fail(w, r.Request, entities.Conflict(textConflict))
		return
	}
	if target == "" {
		s.fail(w, r.Request, entities.Conflict(textNoLeader))
		return
	}
	answer, err := s.client.Do(s.forwarded(r, target, next))
	if err != nil {
		s.fail(w, r.Request, &entities.Error{Status: http.StatusInternalServerError, Message: "IO Error trying to forward REST request: " + err.Error()})
		return
	}
	defer answer.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4*maxBodyBytes))
	if err != nil {
		s.fail(w, r.Request, &entities.Error{Status: http.StatusInternalServerError, Message: "IO Error trying to forward REST request: " + err.Error()})
		return
	}
	if answer.StatusCode == http.StatusCreated {
		var info entities.ConnectorInfo
		if err := json.Unmarshal(body, &info); err == nil {
			w.Header().Set("Location", location(r.Request, info.Name))
		}
	}
	if len(body) == 0 {
		w.WriteHeader(answer.StatusCode)
		return
	}
	s.write(w, answer.StatusCode, answer.Header.Get("Content-Type"), body)
}

// forwarded is the request to the other worker: of the caller's headers it carries the
// credentials alone.
func (s *Server) forwarded(r *request, target, hop string) *http.Request {
	query := r.URL.Query()
	query.Set("forward", hop)
	out := (&http.Request{Method: r.Method, URL: &url.URL{}, Header: http.Header{}, Body: http.NoBody}).WithContext(r.Context())
	if u, err := url.Parse(strings.TrimSuffix(target, "/") + r.URL.EscapedPath()); err == nil {
		out.URL = u
	}
	out.URL.RawQuery = query.Encode()
	out.Header.Set("Accept", "application/json")
	out.Header.Set("User-Agent", "kafka-connect")
	if len(r.body) > 0 { // an empty body of another kind would be sent in chunks
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
		out.Header.Set("Content-Type", "application/json")
	}
	if a := r.Header.Get("Authorization"); a != "" {
		out.Header.Set("Authorization", a)
	}
	return out
}
