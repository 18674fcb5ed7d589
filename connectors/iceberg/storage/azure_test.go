package storage_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firn-io/firn/connectors/iceberg/storage"
)

// fakeAzure speaks what storage.Azure asks of the Blob API, for one container "c" under
// /account. Every request must carry the signature sig.
type fakeAzure struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	sig     string
	objects map[string][]byte
	blocks  map[string][]byte // by blob and block id
	calls   map[string]int
	fault   func(op string, n int) (status int, code string)
}

func newFakeAzure(t *testing.T) *fakeAzure {
	f := &fakeAzure{t: t, sig: "SIG", objects: map[string][]byte{}, blocks: map[string][]byte{}, calls: map[string]int{}}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	f.url = srv.URL + "/account"
	return f
}

const azureRoot = "abfss://c@account.dfs.core.windows.net"

func (f *fakeAzure) props(sig string) map[string]string {
	return map[string]string{
		"adls.connection-string.account": f.url, "adls.sas-token.account.dfs.core.windows.net": "sv=1&sig=" + sig,
		"adls.write.block-size-bytes": strconv.Itoa(part), "s3.retry.min-wait-ms": "1", "s3.retry.max-wait-ms": "10",
	}
}

func (f *fakeAzure) open() storage.FileIO {
	f.t.Helper()
	files, err := storage.Open(f.t.Context(), f.props("SIG"), azureRoot)
	if err != nil {
		f.t.Fatal(err)
	}
	return files
}

func azureOp(r *http.Request) string {
	switch comp := r.URL.Query().Get("comp"); {
	case comp != "":
		return comp
	default:
		return strings.ToLower(r.Method)
	}
}

func azureFail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Ms-Error-Code", code)
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>told by the fake</Message></Error>", code)
}

func (f *fakeAzure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, _ := io.ReadAll(r.Body)
	op, key := azureOp(r), strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/account/c"), "/")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	if r.URL.Query().Get("sig") != f.sig {
		azureFail(w, http.StatusForbidden, "AuthenticationFailed")
		return
	}
	if f.fault != nil {
		if status, code := f.fault(op, f.calls[op]); status != 0 {
			azureFail(w, status, code)
			return
		}
	}
	_, taken := f.objects[key]
	if taken && r.Header.Get("If-None-Match") == "*" {
		azureFail(w, http.StatusConflict, "BlobAlreadyExists")
		return
	}
	switch op {
	case "put":
		f.objects[key] = data
		w.WriteHeader(http.StatusCreated)
	case "block":
		f.blocks[key+" "+r.URL.Query().Get("blockid")] = data
		w.WriteHeader(http.StatusCreated)
	case "blocklist":
		var list struct{ Latest []string }
		if err := xml.Unmarshal(data, &list); err != nil {
			f.t.Error(err)
		}
		var whole []byte
		for _, id := range list.Latest {
			block, ok := f.blocks[key+" "+id]
			if !ok {
				azureFail(w, http.StatusBadRequest, "InvalidBlockList")
				return
			}
			whole = append(whole, block...)
		}
		f.objects[key] = whole
		w.WriteHeader(http.StatusCreated)
	case "get":
		f.get(w, r, key)
	case "delete":
		if !taken {
			azureFail(w, http.StatusNotFound, "BlobNotFound")
			return
		}
		delete(f.objects, key)
		w.WriteHeader(http.StatusAccepted)
	case "list":
		f.list(w, r.URL.Query().Get("prefix"), r.URL.Query().Get("marker"))
	default:
		f.t.Errorf("unexpected %s %s", r.Method, r.URL)
	}
}

func (f *fakeAzure) get(w http.ResponseWriter, r *http.Request, key string) {
	data, ok := f.objects[key]
	if !ok {
		azureFail(w, http.StatusNotFound, "BlobNotFound")
		return
	}
	if match := r.Header.Get("If-Match"); match != "" && match != etag(data) {
		azureFail(w, http.StatusPreconditionFailed, "ConditionNotMet")
		return
	}
	w.Header().Set("ETag", etag(data))
	if v := r.Header.Get("X-Ms-Range"); v != "" {
		r.Header.Set("Range", v)
	}
	http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(data))
}

// list answers two blobs at a time.
func (f *fakeAzure) list(w http.ResponseWriter, prefix, marker string) {
	w.Header().Set("Content-Type", "application/xml")
	_, _ = fmt.Fprint(w, `<?xml version="1.0"?><EnumerationResults><Blobs>`)
	n, next := 0, ""
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(key, prefix) || key <= marker {
			continue
		}
		if n++; n > 2 {
			break
		}
		next = key
		folder := ""
		if strings.HasSuffix(key, "folder") {
			folder = "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"
		}
		_, _ = fmt.Fprintf(w, "<Blob><Name>%s</Name><Properties><Last-Modified>Sat, 21 Nov 2026 10:00:00 GMT</Last-Modified><Content-Length>%d</Content-Length></Properties>%s</Blob>", key, len(f.objects[key]), folder)
	}
	if n <= 2 {
		next = ""
	}
	_, _ = fmt.Fprintf(w, "</Blobs><NextMarker>%s</NextMarker></EnumerationResults>", next)
}

func TestAzureRoundTrip(t *testing.T) {
	f := newFakeAzure(t)
	files := f.open()
	for _, size := range []int{0, 1, part, part + 1, 5*part + 7} {
		data := noise(size)
		w, err := files.Create(t.Context(), azureRoot+"/wh/a b/x")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(write(t, w, data, 1<<20), w.Close(), w.Abort()); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got := f.objects["wh/a b/x"]; !bytes.Equal(got, data) {
			t.Errorf("%d bytes: stored %d, or others", size, len(got))
		}
		whole, err := files.ReadFile(t.Context(), azureRoot+"/wh/a b/x")
		if err != nil || !bytes.Equal(whole, data) {
			t.Errorf("%d bytes: read %d, %v", size, len(whole), err)
		}
		file, err := files.Open(t.Context(), azureRoot+"/wh/a b/x")
		if err != nil {
			t.Fatal(err)
		}
		streamed, err := io.ReadAll(file)
		if info, statErr := file.Stat(); err != nil || statErr != nil || !bytes.Equal(streamed, data) || info.Size() != int64(size) {
			t.Errorf("%d bytes: streamed %d, %v, %v", size, len(streamed), err, statErr)
		}
		if size > part {
			tail := make([]byte, 5)
			if n, err := file.(io.ReaderAt).ReadAt(tail, int64(size-5)); n != 5 || (err != nil && !errors.Is(err, io.EOF)) || !bytes.Equal(tail, data[size-5:]) {
				t.Errorf("%d bytes: read at the end: %d, %v", size, n, err)
			}
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	if r := storage.SelfTest(t.Context(), files, azureRoot+"/wh"); r.Err() != nil || len(r.Warnings()) != 0 {
		t.Errorf("self-test:\n%s", r)
	}
}

// What is being written is not there before Close, and never if it is dropped.
func TestAzureAbort(t *testing.T) {
	for _, end := range []string{"abort", "context", "refused"} {
		f := newFakeAzure(t)
		if end == "refused" {
			f.fault = func(op string, n int) (int, string) {
				if op == "block" && n == 2 {
					return http.StatusForbidden, "AuthorizationPermissionMismatch"
				}
				return 0, ""
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		w, err := f.open().Create(ctx, azureRoot+"/x")
		if err != nil {
			t.Fatal(err)
		}
		err = write(t, w, noise(4*part), part)
		if end == "context" {
			cancel()
		}
		if end == "abort" {
			err = errors.Join(err, w.Abort())
		} else {
			err = errors.Join(err, w.Close())
		}
		cancel()
		if (err == nil) != (end == "abort") || err != nil && strings.Contains(err.Error(), "SIG") {
			t.Errorf("%s: %v", end, err)
		}
		f.mu.Lock() // a request that was cut may still be served
		if _, ok := f.objects["x"]; ok || f.calls["blocklist"] != 0 {
			t.Errorf("%s: object is there", end)
		}
		f.mu.Unlock()
	}
}

func TestAzureExclusive(t *testing.T) {
	for _, size := range []int{10, 2 * part} {
		f := newFakeAzure(t)
		for i, want := range []error{nil, fs.ErrExist} {
			w, err := f.open().CreateNew(t.Context(), azureRoot+"/x")
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(write(t, w, noise(size), part), w.Close()); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%d bytes, time %d: %v, want %v", size, i+1, err, want)
			}
		}
	}
}

func TestAzureListRemove(t *testing.T) {
	f := newFakeAzure(t)
	files := f.open()
	for _, key := range []string{"wh/t/1", "wh/t/2", "wh/t/3", "wh/t/folder", "wh/t/folder/4", "wh/tt/5"} {
		f.objects[key] = []byte(key)
	}
	var got []string
	for info, err := range files.List(t.Context(), azureRoot+"/wh/t/") {
		if err != nil || info.Bytes == 0 || info.Modified.Year() != 2026 {
			t.Fatalf("%+v, %v", info, err)
		}
		got = append(got, strings.TrimPrefix(info.Path, azureRoot+"/"))
	}
	if want := []string{"wh/t/1", "wh/t/2", "wh/t/3", "wh/t/folder/4"}; !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	if err := files.Remove(t.Context(), azureRoot+"/wh/t/1"); err != nil || f.objects["wh/t/1"] != nil {
		t.Errorf("remove: %v", err)
	}
	if err := files.Remove(t.Context(), azureRoot+"/wh/t/1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("remove again: %v, want fs.ErrNotExist", err)
	}
	if _, err := files.Open(t.Context(), azureRoot+"/wh/t/1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v, want fs.ErrNotExist", err)
	}
}

func TestAzureErrors(t *testing.T) {
	for _, tt := range []struct {
		code   string
		status int
		first  int // the fault ends after so many requests; 0: never
		want   string
	}{
		{"ServerBusy", 503, 2, ""},
		{"ServerBusy", 503, 0, "ServerBusy"},
		{"AuthorizationPermissionMismatch", 403, 0, "Storage Blob Data Contributor"},
		{"ContainerNotFound", 404, 0, "create it"},
	} {
		f := newFakeAzure(t)
		f.fault = func(op string, n int) (int, string) {
			if op == "put" && (tt.first == 0 || n <= tt.first) {
				return tt.status, tt.code
			}
			return 0, ""
		}
		w, err := f.open().Create(t.Context(), azureRoot+"/x")
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(write(t, w, noise(10), 10), w.Close())
		if (err == nil) != (tt.want == "") {
			t.Errorf("%s: %v", tt.code, err)
		}
		if err != nil && (!strings.Contains(err.Error()+storage.Advice(err), tt.want) || strings.ContainsAny(err.Error(), "\n?")) {
			t.Errorf("%s: %v (%s), want %q in one line without the address", tt.code, err, storage.Advice(err), tt.want)
		}
	}
	props := newFakeAzure(t).props("SIG")
	props["adls.connection-string.account"] = "http://127.0.0.1:1/account"
	files, err := storage.Open(t.Context(), props, azureRoot)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadFile(t.Context(), azureRoot+"/x"); err == nil || strings.Contains(err.Error(), "SIG") {
		t.Errorf("nobody there: %v, want an error without the token", err)
	}
	if r := storage.SelfTest(t.Context(), files, azureRoot); r.Err() == nil || !strings.Contains(r.Err().Error(), "nothing listens") || strings.Contains(r.String(), "SIG") {
		t.Errorf("nobody there:\n%s", r)
	}
}

func TestAzureLease(t *testing.T) {
	f := newFakeAzure(t)
	lend := func(sig string, life time.Duration) map[string]string {
		props := f.props(sig)
		props["adls.sas-token-expires-at-ms.account.dfs.core.windows.net"] = strconv.FormatInt(time.Now().Add(life).UnixMilli(), 10)
		return props
	}
	lease := storage.NewLease(func(context.Context) (map[string]string, error) { return lend("SECOND", time.Hour), nil })
	lease.Update(lend("FIRST", time.Second))
	files, err := lease.FileIO(t.Context(), azureRoot)
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.sig = "FIRST"
	f.mu.Unlock()
	if r := storage.SelfTest(t.Context(), files, azureRoot+"/wh"); r.Err() != nil {
		t.Errorf("first token:\n%s", r)
	}
	time.Sleep(time.Second) // the token's own end
	f.mu.Lock()
	f.sig = "SECOND"
	f.mu.Unlock()
	if r := storage.SelfTest(t.Context(), files, azureRoot+"/wh"); r.Err() != nil {
		t.Errorf("second token:\n%s", r)
	}
	if again, err := lease.FileIO(t.Context(), azureRoot); again != files || err != nil {
		t.Errorf("renewed credentials made another client (%v)", err)
	}
}

func TestAzureConfig(t *testing.T) {
	const secret = "hunter2"
	for _, tt := range []struct {
		location string
		props    map[string]string
		want     string // in the error
	}{
		{"abfss://account.dfs.core.windows.net/x", nil, "want abfss://container@account"},
		{"abfss://c@/x", nil, "want abfss://container@account"},
		{azureRoot, nil, "names a container"},
		{azureRoot + "/x", map[string]string{"adls.auth.shared-key.account.key": secret}, "belong together"},
		{azureRoot + "/x", map[string]string{"adls.auth.shared-key.account.name": "account", "adls.auth.shared-key.account.key": secret + "!"}, "base64"},
		{azureRoot + "/x", map[string]string{"adls.client-secret": secret}, "set all three"},
		{azureRoot + "/x", map[string]string{"adls.write.block-size-bytes": "0"}, "adls.write.block-size-bytes"},
	} {
		files, err := storage.Open(t.Context(), tt.props, tt.location)
		if err == nil {
			_, err = files.Create(t.Context(), tt.location)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s %v: %v, want %q and no secret", tt.location, tt.props, err, tt.want)
		}
	}
	// Every way of saying who we are makes a writer; nothing is asked yet.
	for _, props := range []map[string]string{
		{"adls.auth.shared-key.account.name": "account", "adls.auth.shared-key.account.key": "a2V5"},
		{"adls.sas-token.account": "?sig=x"},
		{"adls.connection-string.account": "DefaultEndpointsProtocol=https;AccountName=account;AccountKey=a2V5;EndpointSuffix=core.windows.net"},
		{"adls.token": "T"},
		{"adls.tenant-id": "t", "adls.client-id": "c", "adls.client-secret": "s"},
		{"adls.auth.managed-identity.enabled": "true", "adls.client-id": "c"},
	} {
		files, err := storage.Open(t.Context(), props, azureRoot)
		if err != nil {
			t.Errorf("%v: %v", slices.Collect(maps.Keys(props)), err)
			continue
		}
		w, err := files.Create(t.Context(), "wasbs://c@account.blob.core.windows.net/x")
		if err != nil {
			t.Errorf("%v: %v", slices.Collect(maps.Keys(props)), err)
			continue
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
	}
}

func FuzzAzureLocation(f *testing.F) {
	for _, s := range []string{"", "abfss://", "abfss://@", "abfss://c@h", "wasb://c@h/k", "abfss://c@h/%zz", "abfss://c@h?x/k"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, location string) {
		files, err := storage.Open(context.Background(), map[string]string{"adls.token": "T"}, azureRoot)
		if err != nil {
			panic(err)
		}
		if w, err := files.Create(context.Background(), location); err == nil {
			_ = w.Abort()
		}
	})
}
