//go:build real && unix

package realtest

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// A trap stands between the sink and the REST catalog. It can hold one commit of a
// table, or of several at once, or be a catalog that is down.
type trap struct {
	target string // the catalog's URL
	suffix string // of the path of a commit's request
	name   []byte // of the namespace, as it is in a request that commits several tables
	holds  chan hold
	down   atomic.Bool // every request is answered 503
}

// A hold is what happens to one commit: it is caught, and goes on when the test says.
type hold struct {
	forward bool          // before the test hears of it
	caught  chan struct{} // closed when the commit is here
	release chan bool     // true: forward it now
	status  chan int      // of the catalog's answer, 0 if it was never forwarded
}

// trapCatalog starts a trap for the commits of a table and returns it with its URL.
func (s *stack) trapCatalog(t *testing.T, namespace, table string) (*trap, string) {
	t.Helper()
	tr := &trap{
		target: s.catalog.URL, suffix: "/namespaces/" + namespace + "/tables/" + table, name: []byte(strconv.Quote(namespace)),
		holds: make(chan hold, 1),
	}
	srv := httptest.NewServer(tr)
	t.Cleanup(srv.Close)
	return tr, srv.URL
}

// set holds the next commit, which reaches the catalog before it is held (forward) or
// not.
func (tr *trap) set(forward bool) hold {
	h := hold{forward, make(chan struct{}), make(chan bool), make(chan int, 1)}
	tr.holds <- h
	return h
}

func (tr *trap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if tr.down.Load() {
		http.Error(w, "the catalog is down", http.StatusServiceUnavailable)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client went away
	}
	if r.Method == http.MethodPost && (strings.HasSuffix(r.URL.Path, tr.suffix) ||
		strings.HasSuffix(r.URL.Path, "/transactions/commit") && bytes.Contains(body, tr.name)) {
		select {
		case h := <-tr.holds:
			tr.hold(h, r, body)
			panic(http.ErrAbortHandler) // nobody is left to be answered
		default:
		}
	}
	answer, err := tr.forward(r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close() //nolint:errcheck // it is only read
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body) // the client may be gone
}

func (tr *trap) hold(h hold, r *http.Request, body []byte) {
	status := 0
	send := func() {
		if answer, err := tr.forward(r, body); err == nil {
			status = answer.StatusCode
			_ = answer.Body.Close() // not read
		}
	}
	if h.forward {
		send()
	}
	close(h.caught)
	if <-h.release {
		send()
	}
	h.status <- status
}

// forward repeats the request to the catalog, even if its client is gone.
func (tr *trap) forward(r *http.Request, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, tr.target+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = r.Header.Clone()
	return http.DefaultClient.Do(req)
}
