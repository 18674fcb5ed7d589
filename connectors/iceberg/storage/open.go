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
// endpoint and credentials shares. Props are catalog or table properties.
func Open(ctx context.Context, props map[string]string, location string) (FileIO, error) {
	scheme, _, ok := strings.Cut(location, "://")
	if !ok {
		scheme = "" // a plain path, or file:/path
	}
	return process().open(ctx, props, scheme)
}

// Register makes iceberg-go's tables and catalogs use this package for file:// and
// s3:// (also s3a, s3n) locations, in the whole process; calling it again changes
// nothing. It stands in for what iceberg-go's own file systems do: a new S3 client
// per table and call, and half-written files published by Close.
func Register() { process() }

// process holds what iceberg-go's registry makes process-wide.
var process = sync.OnceValue(func() *clients {
	c := &clients{made: map[s3Options]*S3{}}
	for _, scheme := range []string{"", "file", "s3", "s3a", "s3n"} {
		icebergio.Unregister(scheme) // local files are registered by iceberg-go itself
		icebergio.Register(scheme, func(ctx context.Context, location *url.URL, props map[string]string) (icebergio.IO, error) {
			files, err := c.open(ctx, props, location.Scheme)
			if err != nil {
				return nil, err
			}
			return Bind(ctx, files), nil
		})
	}
	return c
})

// maxClients bounds the cache: credentials vended per table expire, and each set is
// a key of its own. A client dropped while in use stays valid.
const maxClients = 64

// clients are the S3 clients of the process, all on the same connections.
type clients struct {
	mu   sync.Mutex // guards what follows; never held across I/O
	http *http.Client
	made map[s3Options]*S3
}

// shared is the one HTTP client; its TLS settings come from the environment, so
// they are the same for all.
func (c *clients) shared(tls *tls.Config) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.http == nil {
		c.http = newHTTPClient(tls)
	}
	return c.http
}

func (c *clients) open(ctx context.Context, props map[string]string, scheme string) (FileIO, error) {
	switch strings.ToLower(scheme) {
	case "", "file":
		return Local{}, nil
	case "s3", "s3a", "s3n":
		return c.s3(ctx, props)
	}
	return nil, fmt.Errorf("no storage for %s:// in this build; it has file:// and s3://", scheme)
}

func (c *clients) s3(ctx context.Context, props map[string]string) (*S3, error) {
	opts, err := parseS3(props)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	s, ok := c.made[opts]
	c.mu.Unlock()
	if ok {
		return s, nil
	}
	client, err := opts.client(ctx, c.shared)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.made[opts]; ok {
		return s, nil
	}
	if len(c.made) >= maxClients {
		for old := range c.made {
			delete(c.made, old)
			break
		}
	}
	s = &S3{client: client, opts: opts}
	c.made[opts] = s
	return s, nil
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
