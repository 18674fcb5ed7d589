package openapi_test

import (
	"strings"
	"testing"

	"github.com/firn-io/firn/internal/openapi"
)

const description = `{
	"paths": {"/c/{name}": {
		"get": {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/C"}}}}, "default": {"$ref": "#/components/responses/Error"}}},
		"delete": {"responses": {"204": {}, "default": {"$ref": "#/components/responses/Error"}}},
		"put": {"requestBody": {"content": {"application/json": {"schema": {"type": "object", "additionalProperties": {"type": ["string", "null"]}}}}}, "responses": {"200": {}}}
	}},
	"components": {
		"schemas": {
			"C": {"type": "object", "required": ["state"], "additionalProperties": false, "properties": {
				"state": {"type": "string", "enum": ["UP", "DOWN"]}, "n": {"oneOf": [{"type": "number"}, {"type": "null"}]}, "all": {"type": "array", "items": {"type": "integer"}}}},
			"Error": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}},
			"Odd": {"type": "string", "pattern": "a"}
		},
		"responses": {"Error": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}}
	}
}`

func TestCheck(t *testing.T) {
	doc, err := openapi.Read([]byte(description))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		x    openapi.Exchange
		want string // in the error, "" for none
	}{
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 200, Answer: `{"state":"UP","n":1.5,"all":[1,2]}`}, ""},
		{openapi.Exchange{Method: "GET", Target: "/c/a/?x=1", Status: 200, Answer: `{"state":"DOWN","n":null}`}, ""},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 200, Answer: `{"state":"LOST"}`}, "want one of"},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 200, Answer: `{"n":1}`}, "has no state"},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 200, Answer: `{"state":"UP","n":"1"}`}, "fits 0 of 2 forms"},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 200, Answer: `{"state":"UP","more":1}`}, "has more, which is not described"},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 200, Answer: `{"state":"UP","all":[1.5]}`}, "all[0] is of type number"},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 200, Answer: ``}, "has the body"},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 200, Answer: `{`}, "unexpected"},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 404, Answer: `{"message":"x"}`}, ""},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 404, Answer: `{"message":1}`}, "is of type integer"},
		{openapi.Exchange{Method: "GET", Target: "/c/a", Status: 201, Answer: `{}`}, "201 is not described"},
		{openapi.Exchange{Method: "DELETE", Target: "/c/a", Status: 204}, ""},
		{openapi.Exchange{Method: "DELETE", Target: "/c/a", Status: 204, Answer: `{}`}, "has the body"},
		{openapi.Exchange{Method: "PUT", Target: "/c/a", Request: `{"a":null,"b":"x"}`, Status: 200}, ""},
		{openapi.Exchange{Method: "PUT", Target: "/c/a", Request: `{"a":1}`, Status: 200}, "a is of type integer"},
		{openapi.Exchange{Method: "POST", Target: "/nowhere", Status: 404, Answer: `{"message":"x"}`}, ""},
		{openapi.Exchange{Method: "POST", Target: "/nowhere", Status: 404, Answer: `{}`}, "has no message"},
		{openapi.Exchange{Method: "POST", Target: "/nowhere", Status: 404}, ""},
	} {
		if err := doc.Check(tt.x); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.x, err, tt.want)
		}
	}
	if err := doc.ValidText(doc.Named("Odd"), `"a"`); err == nil || !strings.Contains(err.Error(), "pattern") {
		t.Errorf("a word that is not known is passed over: %v", err)
	}
	if _, err := openapi.Read([]byte("{")); err == nil {
		t.Error("a broken description was read")
	}
}
