package entities

import "net/http"

// An Error is an answer other than success: it is shown to the client as
// {"error_code": Status, "message": Message} with that HTTP status.
type Error struct {
	Status  int
	Message string
}

func (e *Error) Error() string { return e.Message }

// NotFound is a 404.
func NotFound(message string) *Error { return &Error{http.StatusNotFound, message} }

// BadRequest is a 400.
func BadRequest(message string) *Error { return &Error{http.StatusBadRequest, message} }

// Conflict is a 409.
func Conflict(message string) *Error { return &Error{http.StatusConflict, message} }

// A RedirectError says that another worker must do it: the leader, or the owner of the
// connector or task. URL is that worker's advertised URL, "" when it is not known.
type RedirectError struct{ URL string }

func (e *RedirectError) Error() string {
	if e.URL == "" {
		return "another worker must handle this request, and which is not known yet"
	}
	return "worker " + e.URL + " must handle this request"
}
