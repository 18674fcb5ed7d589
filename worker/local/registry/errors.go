package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// An apiError is answered as Confluent's registry does: an HTTP status and a
// body {"error_code","message"} whose code begins with that status.
type apiError struct {
	status  int
	code    int
	message string
}

func (e *apiError) Error() string { return e.message }

// The error codes are part of the API: clients match on them.
// (Source: Confluent Schema Registry, rest.exceptions.Errors.)
func errSubject(name string) error {
	return &apiError{http.StatusNotFound, 40401, fmt.Sprintf("Subject '%s' not found.", name)}
}

func errVersion(number int) error {
	return &apiError{http.StatusNotFound, 40402, fmt.Sprintf("Version %d not found.", number)}
}

func errSchemaID(id int) error {
	return &apiError{http.StatusNotFound, 40403, fmt.Sprintf("Schema %d not found", id)}
}

func errNoSuchSchema() error {
	return &apiError{http.StatusNotFound, 40403, "Schema not found"}
}

func errSoftDeleted(name string) error {
	return &apiError{http.StatusNotFound, 40404, fmt.Sprintf("Subject '%s' was soft deleted. Set permanent=true to delete permanently", name)}
}

func errNotSoftDeleted(name string) error {
	return &apiError{http.StatusNotFound, 40405, fmt.Sprintf("Subject '%s' was not deleted first before being permanently deleted", name)}
}

func errVersionSoftDeleted(name string, number int) error {
	return &apiError{http.StatusNotFound, 40406, fmt.Sprintf("Subject '%s' Version %d was soft deleted. Set permanent=true to delete permanently", name, number)}
}

func errVersionNotSoftDeleted(name string, number int) error {
	return &apiError{http.StatusNotFound, 40407, fmt.Sprintf("Subject '%s' Version %d was not deleted first before being permanently deleted", name, number)}
}

func errNoLevel(name string) error {
	return &apiError{http.StatusNotFound, 40408, fmt.Sprintf("Subject '%s' does not have subject-level compatibility configured", name)}
}

func errNoMode(name string) error {
	return &apiError{http.StatusNotFound, 40409, fmt.Sprintf("Subject '%s' does not have subject-level mode configured", name)}
}

func errIncompatible(subject string, reasons []string) error {
	return &apiError{http.StatusConflict, http.StatusConflict, fmt.Sprintf(
		"Schema being registered is incompatible with an earlier schema for subject %q, details: [%s]", subject, strings.Join(reasons, "; "),
	)}
}

func errReadOnly(subject, mode string) error {
	return &apiError{http.StatusUnprocessableEntity, 42205, fmt.Sprintf("Subject %s is in %s mode", subject, strings.ToLower(mode))}
}

func errInvalidSchema(err error) error {
	return &apiError{http.StatusUnprocessableEntity, 42201, "Invalid schema: " + err.Error()}
}

func errInvalidVersion(text string) error {
	return &apiError{http.StatusUnprocessableEntity, 42202, fmt.Sprintf("The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", text)}
}

func errInvalidLevel() error {
	return &apiError{http.StatusUnprocessableEntity, 42203, "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"}
}

func errInvalidMode() error {
	return &apiError{http.StatusUnprocessableEntity, 42204, "Invalid mode. Valid values are readwrite, readonly and readonly_override"}
}

func errBody(err error) error {
	return &apiError{http.StatusBadRequest, http.StatusBadRequest, "the request body is not the JSON object expected here: " + err.Error()}
}

// errHTTP words what routing itself refuses.
func errHTTP(status int) error {
	return &apiError{status, status, fmt.Sprintf("HTTP %d %s", status, http.StatusText(status))}
}

const contentType = "application/vnd.schemaregistry.v1+json"

func renderError(w http.ResponseWriter, err error) {
	answer, ok := errors.AsType[*apiError](err)
	if !ok {
		answer = &apiError{http.StatusInternalServerError, 50001, err.Error()}
	}
	render(w, answer.status, struct {
		Code    int    `json:"error_code"`
		Message string `json:"message"`
	}{answer.code, answer.message})
}

func render(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // the client is gone: nobody is left to tell
}
