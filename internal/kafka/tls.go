package kafka

import (
	"crypto/tls"

	"github.com/firn-io/firn/internal/javatls"
)

// tls reads ssl.*. It returns nil after an error.
func (p *properties) tls() *tls.Config {
	cfg, err := javatls.Client(p.given)
	if err != nil {
		p.fail("security.protocol", "%v", err)
		return nil
	}
	return cfg
}
