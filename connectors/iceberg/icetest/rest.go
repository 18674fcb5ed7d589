package icetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
)

// A StatusError is a fault that a REST client sees as an HTTP status. Status 0 cuts
// the connection without an answer.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return fmt.Sprintf("HTTP status %d", e.Status) }

// Handler serves the catalog by the Iceberg REST protocol, as far as the sink needs
// it: config, namespaces, tables. Tables lie under warehouse, which client and
// readers must be able to reach: the catalog itself keeps only metadata. Faults of
// the catalog become answers: a [StatusError] its status, others 500.
//
// (Source: open-api/rest-catalog-open-api.yaml of Apache Iceberg.)
func (c *Catalog) Handler(warehouse string) http.Handler {
	s := &server{c, strings.TrimRight(warehouse, "/")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/config", func(w http.ResponseWriter, _ *http.Request) {
		config := map[string]any{"defaults": map[string]string{}, "overrides": map[string]string{}}
		if c.multi { // else the client takes the default for what is offered
			config["endpoints"] = endpoints
		}
		answer(w, http.StatusOK, config)
	})
	mux.HandleFunc("GET /v1/namespaces", s.handle(s.listNamespaces))
	mux.HandleFunc("POST /v1/namespaces", s.handle(s.createNamespace))
	mux.HandleFunc("POST /v1/namespaces/{ns}/tables", s.handle(s.createTable))
	mux.HandleFunc("GET /v1/namespaces/{ns}/tables/{table}", s.handle(s.loadTable))
	mux.HandleFunc("POST /v1/namespaces/{ns}/tables/{table}", s.handle(s.commitTable))
	mux.HandleFunc("DELETE /v1/namespaces/{ns}/tables/{table}", s.handle(s.dropTable))
	if c.multi {
		mux.HandleFunc("POST /v1/transactions/commit", s.handle(s.commitTransaction))
	}
	return mux
}

var endpoints = []string{
	"GET /v1/{prefix}/namespaces",
	"POST /v1/{prefix}/namespaces",
	"POST /v1/{prefix}/namespaces/{namespace}/tables",
	"GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
	"POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
	"DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
	"POST /v1/{prefix}/transactions/commit",
}

type server struct {
	c         *Catalog
	warehouse string
}

// handle renders what an operation returns: a body, nothing (204), or an error.
func (s *server) handle(op func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := op(r)
		switch {
		case err != nil:
			refuse(w, err)
		case body == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			answer(w, http.StatusOK, body)
		}
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: it sees that itself
}

// refusals are the errors that the protocol has a name for.
var refusals = []struct {
	err    error
	status int
	name   string
}{
	{icebergcatalog.ErrNoSuchTable, http.StatusNotFound, "NoSuchTableException"},
	{icebergcatalog.ErrNoSuchNamespace, http.StatusNotFound, "NoSuchNamespaceException"},
	{icebergcatalog.ErrTableAlreadyExists, http.StatusConflict, "AlreadyExistsException"},
	{icebergcatalog.ErrNamespaceAlreadyExists, http.StatusConflict, "AlreadyExistsException"},
	{table.ErrCommitFailed, http.StatusConflict, "CommitFailedException"},
}

func refuse(w http.ResponseWriter, err error) {
	status, name := http.StatusInternalServerError, "InternalServerError"
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			status, name = r.status, r.name
		}
	}
	if fault, ok := errors.AsType[*StatusError](err); ok {
		if status, name = fault.Status, "Fault"; status == 0 {
			panic(http.ErrAbortHandler)
		}
	}
	answer(w, status, map[string]any{"error": map[string]any{"message": err.Error(), "type": name, "code": status}})
}

// namespace reads the levels of a path or query element.
func namespace(text string) table.Identifier {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x1f")
}

func identOf(r *http.Request) table.Identifier {
	return append(namespace(r.PathValue("ns")), r.PathValue("table"))
}

func (s *server) listNamespaces(r *http.Request) (any, error) {
	found, err := s.c.ListNamespaces(r.Context(), namespace(r.URL.Query().Get("parent")))
	return map[string]any{"namespaces": append([]table.Identifier{}, found...)}, err
}

func (s *server) createNamespace(r *http.Request) (any, error) {
	var req struct {
		Namespace  table.Identifier   `json:"namespace"`
		Properties iceberg.Properties `json:"properties"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, &StatusError{http.StatusBadRequest}
	}
	return req, s.c.CreateNamespace(r.Context(), req.Namespace, req.Properties)
}

func (s *server) createTable(r *http.Request) (any, error) {
	var req struct {
		Name     string                 `json:"name"`
		Location string                 `json:"location"`
		Schema   *iceberg.Schema        `json:"schema"`
		Spec     *iceberg.PartitionSpec `json:"partition-spec"`
		Props    iceberg.Properties     `json:"properties"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, &StatusError{http.StatusBadRequest}
	}
	ident := append(namespace(r.PathValue("ns")), req.Name)
	if req.Location == "" {
		req.Location = s.warehouse + "/" + strings.Join(ident, "/")
	}
	t, err := s.c.CreateTable(r.Context(), ident, req.Schema, icebergcatalog.WithPartitionSpec(req.Spec),
		icebergcatalog.WithLocation(req.Location), icebergcatalog.WithProperties(req.Props))
	if err != nil {
		return nil, err
	}
	return described(t.Metadata(), t.MetadataLocation()), nil
}

func (s *server) loadTable(r *http.Request) (any, error) {
	t, err := s.c.LoadTable(r.Context(), identOf(r))
	if err != nil {
		return nil, err
	}
	return described(t.Metadata(), t.MetadataLocation()), nil
}

func (s *server) commitTable(r *http.Request) (any, error) {
	var req struct {
		Requirements table.Requirements `json:"requirements"`
		Updates      table.Updates      `json:"updates"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, &StatusError{http.StatusBadRequest}
	}
	meta, location, err := s.c.CommitTable(r.Context(), identOf(r), req.Requirements, req.Updates)
	return described(meta, location), err
}

func (s *server) commitTransaction(r *http.Request) (any, error) {
	var req struct {
		Changes []struct {
			Identifier struct {
				Namespace table.Identifier `json:"namespace"`
				Name      string           `json:"name"`
			} `json:"identifier"`
			Requirements table.Requirements `json:"requirements"`
			Updates      table.Updates      `json:"updates"`
		} `json:"table-changes"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return nil, &StatusError{http.StatusBadRequest}
	}
	commits := make([]table.TableCommit, len(req.Changes))
	for i, c := range req.Changes {
		commits[i] = table.TableCommit{Identifier: append(c.Identifier.Namespace, c.Identifier.Name), Requirements: c.Requirements, Updates: c.Updates}
	}
	return nil, s.c.CommitTransaction(r.Context(), commits)
}

func (s *server) dropTable(r *http.Request) (any, error) {
	return nil, s.c.DropTable(r.Context(), identOf(r))
}

func described(meta table.Metadata, location string) any {
	return map[string]any{"metadata-location": location, "metadata": meta, "config": map[string]string{}}
}
