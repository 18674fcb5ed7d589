// Package connectapi is a client of the Connect REST API, and of the few calls of
// the Schema Registry that have the same manners: JSON both ways, and errors that
// read {"error_code","message"}. It does what curl would do, nothing smarter.
package connectapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// A Client asks one server.
type Client struct {
	Base string // URL without a slash at its end
	Name string // of the server, for error messages: "the worker"

	HTTP           *http.Client // nil is http.DefaultClient
	User, Password string       // for basic authentication, if there is a user
}

// A StatusError is an answer other than 2xx.
type StatusError struct {
	Status  int
	Message string
}

func (e *StatusError) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Message) }

// IsStatus tells whether err is an answer with this HTTP status.
func IsStatus(err error, status int) bool {
	e, ok := errors.AsType[*StatusError](err)
	return ok && e.Status == status
}

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 16 << 20

// Call sends body (nil for none) and decodes the answer into into (nil: dropped).
func (c *Client) Call(ctx context.Context, method, path string, body, into any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, payload)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.User != "" {
		req.SetBasicAuth(c.User, c.Password)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.Name, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is only read
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("ask %s: %s %s: %w", c.Name, method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		var e struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(answer, &e) != nil || e.Message == "" {
			e.Message = http.StatusText(resp.StatusCode)
		}
		return fmt.Errorf("ask %s: %s %s: %w", c.Name, method, path, &StatusError{resp.StatusCode, e.Message})
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("ask %s: %s %s: answer %.200q: %w", c.Name, method, path, answer, err)
	}
	return nil
}

// AwaitReady waits until the worker has joined its group and can take requests.
func (c *Client) AwaitReady(ctx context.Context) error {
	const patience = 30 * time.Second
	wctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := c.Call(wctx, http.MethodGet, "/health", nil, nil)
		if err == nil {
			return nil
		}
		if !Pause(wctx, 50*time.Millisecond) {
			return fmt.Errorf("the worker is not ready after %s: %w", patience, err)
		}
	}
}

// Pause waits for d; false if ctx ended first.
func Pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
