package badinput

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"sync"
)

// schemas is a schema registry without a network. Trouble can be made.
type schemas struct {
	mu       sync.Mutex // guards what follows
	down     bool
	password string // asked for if not ""
	page     string // answered with 404 to everything if not "": another server
	texts    map[int]string
}

const eventSchema = `{"type":"record","name":"Event","fields":[{"name":"id","type":"long"},{"name":"word","type":"string","default":""}]}`

func newSchemas() *schemas { return &schemas{texts: map[int]string{1: eventSchema}} }

func (r *schemas) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *schemas) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return nil, errRefused
	}
	w := httptest.NewRecorder()
	_, password, _ := req.BasicAuth()
	id, _ := strconv.Atoi(path.Base(req.URL.Path))
	text, ok := r.texts[id]
	answer := func(status int, body any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	switch {
	case r.page != "":
		w.WriteHeader(http.StatusNotFound)
		w.WriteString(r.page) //nolint:errcheck // it is memory
	case password != r.password:
		answer(http.StatusUnauthorized, map[string]any{"error_code": 401, "message": "Unauthorized"})
	case !ok:
		answer(http.StatusNotFound, map[string]any{"error_code": 40403, "message": "Schema not found"})
	default:
		answer(http.StatusOK, map[string]any{"schema": text})
	}
	return w.Result(), nil
}

// event is a record of eventSchema in the wire format, said to be of the schema with this id.
func event(schema uint32, id int64) string {
	b := binary.BigEndian.AppendUint32([]byte{0}, schema)
	b = binary.AppendVarint(b, id)
	b = binary.AppendVarint(b, 3)
	return string(append(b, "abc"...))
}

func events(schema uint32, from, to int64) (values []string) {
	for id := from; id <= to; id++ {
		values = append(values, event(schema, id))
	}
	return values
}
