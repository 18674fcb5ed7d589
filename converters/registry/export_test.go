package registry

import "net/http"

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// WithTransport puts f in the place of the network.
func WithTransport(c *Client, f func(*http.Request) (*http.Response, error)) *Client {
	c.transport = roundTripper(f)
	return c
}
