package storage

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	icebergio "github.com/apache/iceberg-go/io"
)

// Open returns the storage of a location: the one that every caller with the same
// endpoint and credentials shares. Props are properties of a catalog.
func Open(ctx context.Context, props map[string]string, location string) (FileIO, error) {
	return process().open(ctx, props, location, nil)
}

// schemes are the location schemes of this build; "" is a plain path or file:/path.
var schemes = []string{"", "file", "s3", "s3a", "s3n", "gs", "abfs", "abfss", "wasb", "wasbs"}

// Register makes iceberg-go's tables and catalogs use this package for the locations
// of all schemes of this build, in the whole process; calling it again changes
// nothing. It stands in for what iceberg-go's own file systems do: a new client per
// table and call, and half-written files published by Close.
func Register() { process() }

// process holds what iceberg-go's registry makes process-wide.
var process = sync.OnceValue(func() *clients {
	c := &clients{http: map[tlsFiles]*http.Client{}, made: map[any]FileIO{}}
	for _, scheme := range schemes {
		icebergio.Unregister(scheme) // local files are registered by iceberg-go itself
		icebergio.Register(scheme, func(ctx context.Context, location *url.URL, props map[string]string) (icebergio.IO, error) {
			return c.forLibrary(ctx, location, props)
		})
	}
	return c
})

// maxClients bounds the cache. A client dropped while in use stays valid.
const maxClients = 256

// clients are the storage clients of the process, all on the same connections.
type clients struct {
	mu   sync.Mutex // guards what follows; never held across I/O
	http map[tlsFiles]*http.Client
	made map[any]FileIO // by comparable options
}

// shared is the one HTTP client under the same TLS settings. Those of the environment
// count as none set: they are the same for all.
func (c *clients) shared(files tlsFiles, config *tls.Config) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, ok := c.http[files]
	if !ok {
		client = newHTTPClient(config)
		c.http[files] = client
	}
	return client
}

// open finds or makes the storage of a location. With a lease its credentials are
// used, and those in props only tell the rest.
func (c *clients) open(ctx context.Context, props map[string]string, location string, lease *Lease) (FileIO, error) {
	scheme, _, ok := strings.Cut(location, "://")
	if !ok {
		scheme = ""
	}
	switch strings.ToLower(scheme) {
	case "", "file":
		return Local{}, nil
	case "s3", "s3a", "s3n":
		return c.s3(ctx, props, lease)
	case "gs":
		return c.gcs(ctx, props, lease)
	case "abfs", "abfss", "wasb", "wasbs":
		return c.azure(props, lease)
	}
	return nil, fmt.Errorf("no storage for %s:// in this build; it has file://, s3://, gs:// and abfss://", scheme)
}

func (c *clients) s3(ctx context.Context, props map[string]string, lease *Lease) (FileIO, error) {
	opts, err := parseS3(props)
	if err != nil {
		return nil, err
	}
	if opts.lease = lease; lease != nil {
		opts.accessKey, opts.secret, opts.token, opts.roleARN = "", "", "", ""
	}
	return c.cached(opts, func() (FileIO, error) {
		client, err := opts.client(ctx, c.shared)
		if err != nil {
			return nil, err
		}
		return &S3{client: client, opts: opts}, nil
	})
}

// cached returns what was made under the same options, or makes it. Two callers may
// make it at once: the first to be done is kept.
func (c *clients) cached(opts any, open func() (FileIO, error)) (FileIO, error) {
	c.mu.Lock()
	files, ok := c.made[opts]
	c.mu.Unlock()
	if ok {
		return files, nil
	}
	files, err := open()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.made[opts]; ok {
		return first, nil
	}
	if len(c.made) >= maxClients {
		for old := range c.made {
			delete(c.made, old)
			break
		}
	}
	c.made[opts] = files
	return files, nil
}

// newHTTPClient has a limit for every wait but that for the payload itself, whose
// length depends on the file; the caller's context limits the whole.
func newHTTPClient(tls *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:       tls,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: time.Minute,
			ExpectContinueTimeout: time.Second,
			IdleConnTimeout:       90 * time.Second,
			MaxIdleConns:          128,
			MaxIdleConnsPerHost:   64,
			ForceAttemptHTTP2:     true,
		},
		// The SDK follows S3's redirects itself, with a new signature.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
