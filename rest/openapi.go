package rest

import (
	_ "embed"
	"encoding/json"
)

// description is the API in the words of OpenAPI 3.1, kept by hand: tests compare it with
// the routes and with real answers.
//
//go:embed openapi.json
var description []byte

func (s *Server) openAPI(*request) (*answer, error) { return ok(json.RawMessage(description)) }
