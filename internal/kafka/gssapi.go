package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/firn-io/firn/internal/krb5"
)

const krb5Module = "com.sun.security.auth.module.Krb5LoginModule"

// A gssapi is what authenticates connections by SASL GSSAPI. It does so itself, on
// connections that sarama has opened: sarama would log in anew for each, in a goroutine of
// its own that nobody can stop, and in which a panic of gokrb5 would end the process.
type gssapi struct {
	ticket  func(ctx context.Context, service, host string) (*krb5.Ticket, error)
	service string // the first part of the brokers' principals
}

// A broker refuses to hear again within a second of the last time (Java's KafkaChannel).
const soonestAgain = 1100 * time.Millisecond

// gssapi reads the options of Java's login module for Kerberos. Those that are not here
// have no meaning without a JVM, or are about passwords, which nobody is asked for.
func (p *properties) gssapi() *gssapi {
	jaas, err := p.jaas("Krb5LoginModule")
	switch {
	case err != nil:
		p.fail("sasl.jaas.config", "sasl.jaas.config: %v (sasl.mechanism is GSSAPI, which it is if it is not given)", err)
		return nil
	case jaas.module != krb5Module:
		p.fail("sasl.jaas.config", "sasl.jaas.config: sasl.mechanism GSSAPI, which it is if it is not given, needs %s, not %s", krb5Module, jaas.module)
		return nil
	}
	is := func(option string) bool { return strings.EqualFold(jaas.options[option], "true") }
	for _, option := range []struct{ name, why string }{
		{"useFirstPass", "there is no login module before it: leave it out"},
		{"tryFirstPass", "there is no login module before it: leave it out"},
		{"renewTGT", "this build renews no ticket of a cache: keep the cache fresh with kinit and leave renewTGT out, or use a keytab"},
	} {
		if is(option.name) {
			p.fail("sasl.jaas.config", "sasl.jaas.config: %s: %s", option.name, option.why)
		}
	}
	if strings.EqualFold(jaas.options["isInitiator"], "false") {
		p.fail("sasl.jaas.config", "sasl.jaas.config: isInitiator=false is for servers: leave it out")
	}
	o := krb5.Options{
		Principal: jaas.options["principal"], UseKeytab: is("useKeyTab"), Keytab: jaas.options["keyTab"],
		UseCache: is("useTicketCache"), Cache: jaas.options["ticketCache"],
		Renew: p.fraction("sasl.kerberos.ticket.renew.window.factor", 0.8),
	}
	g := &gssapi{service: p.serviceName(jaas)}
	if !o.UseKeytab && !o.UseCache {
		p.fail("sasl.jaas.config", "sasl.jaas.config: Could not login: the client is being asked for a password, but the Kafka client code does not currently support obtaining a password from the user. (set useKeyTab=true with keyTab and principal, or useTicketCache=true)")
		return nil
	}
	login, err := krb5.NewLogin(o)
	if err != nil {
		p.fail("sasl.jaas.config", "sasl.jaas.config: %v", err)
	}
	g.ticket = login.Ticket
	return g
}

// serviceName is as in Java's KerberosLogin.
func (p *properties) serviceName(jaas jaasEntry) string {
	inJAAS, inConfig := jaas.options["serviceName"], p.text("sasl.kerberos.service.name", "")
	switch {
	case inJAAS != "" && inConfig != "" && inJAAS != inConfig:
		p.fail("sasl.kerberos.service.name", "Conflicting serviceName values found in JAAS and Kafka configs value in JAAS file %s, value in Kafka config %s", inJAAS, inConfig)
	case inJAAS == "" && inConfig == "":
		p.fail("sasl.kerberos.service.name", "No serviceName defined in either JAAS or Kafka config (set sasl.kerberos.service.name to the first part of the brokers' principal, often kafka)")
	case inJAAS != "":
		return inJAAS
	}
	return inConfig
}

// authenticate says who we are: first on a new connection, and again before the broker
// takes the last time for too long ago (KIP-368).
func (g *gssapi) authenticate(ctx context.Context, cn *conn, c *Config) error {
	host, _, err := net.SplitHostPort(cn.addr)
	if err != nil {
		return err
	}
	ticket, err := g.ticket(ctx, g.service, host)
	if err != nil {
		return gssapiError(err)
	}
	if err := cn.plain.SetDeadline(time.Now().Add(c.requestTimeout)); err != nil { // sarama sets its own
		return err
	}
	wire := &saslWire{socket: cn.plain, clientID: c.clientID}
	if err := wire.handshake(sarama.SASLTypeGSSAPI); err != nil {
		return err
	}
	began := time.Now()
	var session time.Duration
	tokens := sarama.GSSAPIKerberosAuth{
		Config:                &sarama.GSSAPIConfig{ServiceName: g.service},
		NewKerberosClientFunc: func(*sarama.GSSAPIConfig) (sarama.KerberosClient, error) { return ticketClient{ticket}, nil },
	}
	var failed error // to hear from the broker
	err = guarded(func() error {
		return tokens.AuthorizeV2(cn.broker, func(token []byte) (*sarama.SaslAuthenticateResponse, error) {
			answer, lifetime, err := wire.authenticate(token)
			session, failed = lifetime, err
			return &sarama.SaslAuthenticateResponse{SaslAuthBytes: answer}, err
		})
	})
	switch {
	case failed != nil:
		return failed
	case err != nil:
		return finalError{fmt.Errorf("the broker does not prove that it is %s at %s: %w", g.service, host, err)}
	}
	if err := cn.plain.SetDeadline(time.Time{}); err != nil {
		return err
	}
	cn.reauthenticate = time.Time{}
	if session > 0 { // early enough for a slow KDC, as in Java: after 85 to 95 % of it
		cn.reauthenticate = began.Add(max(session*85/100, soonestAgain))
	}
	return nil
}

// gssapiError marks errors that another try does not mend.
func gssapiError(err error) error {
	if errors.Is(err, krb5.ErrRefused) {
		return finalError{err}
	}
	return err
}

// guarded turns a panic of gokrb5 at a strange token into an error.
func guarded(call func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("its token is malformed")
		}
	}()
	return call()
}

// A ticketClient gives sarama one ticket.
type ticketClient struct{ ticket *krb5.Ticket }

func (c ticketClient) Login() error { return nil }

func (c ticketClient) GetServiceTicket(string) (messages.Ticket, types.EncryptionKey, error) {
	return c.ticket.Ticket, c.ticket.Key, nil
}

func (c ticketClient) Domain() string             { return c.ticket.Realm }
func (c ticketClient) CName() types.PrincipalName { return c.ticket.Client }
func (c ticketClient) Destroy()                   {}

// overTLS is a connection whose TLS is not sarama's, so that others can write to it too.
func overTLS(ctx context.Context, socket net.Conn, addr string, cfg *tls.Config) (net.Conn, error) {
	if cfg.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	secured := tls.Client(socket, cfg)
	return secured, secured.HandshakeContext(ctx)
}

// unsupported tells what a listener offers instead.
func unsupported(mechanism string, offers []string) error {
	slices.Sort(offers)
	return fmt.Errorf("the listener has no %s: it offers %.200q (set sasl.mechanism): %w", mechanism, offers, sarama.ErrUnsupportedSASLMechanism)
}
