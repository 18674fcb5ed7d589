package kafka

import (
	"crypto/tls"
	"errors"
)

// NewTLS reads ssl.* for what is no Kafka client and is configured alike: the REST API of
// a worker, and its requests to other workers. The authorities that it trusts are in
// RootCAs, nil for those of the system. Nothing of a key or a password shows in errors.
func NewTLS(props map[string]string) (*tls.Config, error) {
	p := &properties{given: props}
	cfg := p.tls()
	return cfg, errors.Join(p.errs...)
}
