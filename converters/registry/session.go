package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/riferrei/srclient"
)

// A session is the transport under srclient for one look-up: it carries the caller's
// context, tries the registry's URLs in turn, waits and tries again, signs requests
// and bounds replies. What it returns to srclient is a complete 200.
type session struct {
	ctx    context.Context //nolint:containedctx // srclient passes none: a session lives for one call
	client *Client
	last   []byte // body of the last reply
}

var (
	errReply = errors.New("unusable reply") // not one of a schema registry
	errSize  = errors.New("reply too large")
)

// rest makes a srclient on top of the session. The host is a placeholder.
func (s *session) rest() *srclient.SchemaRegistryClient {
	c := srclient.NewSchemaRegistryClient("http://registry", srclient.WithClient(&http.Client{
		Transport: s,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // credentials go to the configured hosts only
		},
	}))
	c.CachingEnabled(false)
	return c
}

// RoundTrip makes the rounds: each tries every URL once, beginning with the one that
// answered last.
func (s *session) RoundTrip(req *http.Request) (*http.Response, error) {
	c := s.client
	wait := c.wait
	for round := 0; ; round++ {
		var err error
		first := int(c.preferred.Load())
		for i := range c.urls {
			at := (first + i) % len(c.urls)
			var body []byte
			if body, err = s.attempt(req, c.urls[at]); err == nil {
				c.preferred.Store(uint32(at))
				s.last = body
				return &http.Response{
					Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
					Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
				}, nil
			}
			if s.ctx.Err() != nil {
				return nil, s.ctx.Err()
			}
			if status, ok := errors.AsType[*statusError](err); ok && !status.retriable() || errors.Is(err, errReply) || errors.Is(err, errSize) {
				return nil, err
			}
		}
		if round >= c.retries {
			return nil, err
		}
		if err := sleep(s.ctx, wait); err != nil {
			return nil, err
		}
		wait = min(2*wait, c.maxWait)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt asks one URL once and returns the body of a 2xx.
func (s *session) attempt(req *http.Request, base *url.URL) ([]byte, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.client.timeout)
	defer cancel()
	r := req.Clone(ctx)
	r.URL.Scheme, r.URL.Host, r.Host = base.Scheme, base.Host, ""
	r.URL.RawPath = base.EscapedPath() + req.URL.EscapedPath()
	r.URL.Path = base.Path + req.URL.Path
	maps.Copy(r.Header, s.client.header)
	r.Header.Set("Accept", "application/vnd.schemaregistry.v1+json, application/json")
	if base.User != nil {
		password, _ := base.User.Password()
		r.SetBasicAuth(base.User.Username(), password)
	}
	resp, err := s.client.transport.RoundTrip(r)
	if err != nil {
		if ctx.Err() != nil && s.ctx.Err() == nil {
			err = fmt.Errorf("no answer within %v", s.client.timeout)
		}
		return nil, fmt.Errorf("%s: %w", base.Host, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read or is given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReplyBytes+1))
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, newStatusError(base.Host, resp.StatusCode, body)
	case err != nil:
		return nil, fmt.Errorf("%s: read the reply: %w", base.Host, err)
	case len(body) > maxReplyBytes:
		return nil, fmt.Errorf("%w: %s answers with more than %d bytes", errSize, base.Host, maxReplyBytes)
	case !json.Valid(body):
		return nil, fmt.Errorf("%w: %s does not answer in JSON", errReply, base.Host)
	}
	return body, nil
}

// A statusError is an answer other than 2xx.
type statusError struct {
	at      string // host and port
	code    int
	reason  int // the registry's own error_code, 0 for none
	message string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answers %d %s", e.at, e.code, e.message)
}

// retriable tells whether another try may help. (Source: RestService.isRetriable of
// Confluent's client, and 500, which a registry gives while it looks for its leader.)
func (e *statusError) retriable() bool {
	return e.code >= 500 || e.code == http.StatusTooManyRequests || e.code == http.StatusRequestTimeout
}

// newStatusError keeps the registry's own message, one line of at most 200 bytes.
func newStatusError(at string, code int, body []byte) *statusError {
	var reply struct {
		Reason  int    `json:"error_code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &reply) != nil || reply.Message == "" {
		reply.Message = http.StatusText(code)
	}
	text := strings.Join(strings.Fields(reply.Message), " ")
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return &statusError{at: at, code: code, reason: reply.Reason, message: text}
}

// checkRules refuses a schema whose data contract changes data on reading, such as
// decryption: to skip it would hand on the wrong data.
func (s *session) checkRules() error {
	var reply struct {
		RuleSet struct {
			DomainRules []struct {
				Name     string `json:"name"`
				Kind     string `json:"kind"`
				Mode     string `json:"mode"`
				Type     string `json:"type"`
				Disabled bool   `json:"disabled"`
			} `json:"domainRules"`
		} `json:"ruleSet"`
	}
	if json.Unmarshal(s.last, &reply) != nil {
		return nil //nolint:nilerr // srclient has read the same bytes and judges them
	}
	for _, r := range reply.RuleSet.DomainRules {
		if !r.Disabled && r.Kind == "TRANSFORM" && (r.Mode == "READ" || r.Mode == "WRITEREAD") {
			return fmt.Errorf("carries the data contract rule %q (%s), which this build does not run", r.Name, r.Type)
		}
	}
	return nil
}
