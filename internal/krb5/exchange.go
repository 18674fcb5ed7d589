package krb5

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/krberror"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// maxReferrals is how many realms on the way to a service's may each name the next one.
const maxReferrals = 5

// ask gets a ticket for a service: first a ticket-granting ticket, which is used once.
func (l *Login) ask(ctx context.Context, service, host string) (*Ticket, error) {
	cfg, err := l.conf.gokrb5()
	if err != nil {
		return nil, err
	}
	granting, err := l.begin(ctx, cfg)
	if err != nil {
		return nil, err
	}
	realm := granting.client.realm
	if other := cfg.ResolveRealm(host); other != "" && other != realm {
		next, err := l.exchange(ctx, cfg, realm, granting, name(nametype.KRB_NT_SRV_INST, "krbtgt", other))
		if err != nil {
			return nil, err
		}
		granting.ticket, granting.key, realm = next.Ticket, next.DecryptedEncPart.Key, other
	}
	got, err := l.exchange(ctx, cfg, realm, granting, name(nametype.KRB_NT_PRINCIPAL, service, host))
	if err != nil {
		return nil, err
	}
	key := got.DecryptedEncPart.Key
	if !slices.Contains(wrapping, key.KeyType) {
		return nil, fmt.Errorf("%w: the key for %s/%s is of type %d, not of AES: give the broker's principal keys of AES", ErrRefused, service, host, key.KeyType)
	}
	return &Ticket{
		Realm: granting.client.realm, Client: name(nametype.KRB_NT_PRINCIPAL, granting.client.names...),
		Ticket: got.Ticket, Key: key, End: got.DecryptedEncPart.EndTime,
	}, nil
}

func name(kind int32, parts ...string) types.PrincipalName {
	return types.PrincipalName{NameType: kind, NameString: parts}
}

// begin gets a ticket-granting ticket: from the cache as long as that has one, or by the keytab.
func (l *Login) begin(ctx context.Context, cfg *config.Config) (tgt, error) {
	var why error
	if l.cache != "" {
		t, err := l.cached()
		if err == nil && !l.now().Before(t.end) {
			err = fmt.Errorf("the ticket of %s in the cache %s has ended: renew it with kinit", t.client, l.cache)
		}
		if err == nil || l.keytab == "" {
			return t, err
		}
		why = err
	}
	kt, held, err := readKeytab(l.keytab, l.who)
	if err != nil {
		if why != nil {
			err = fmt.Errorf("%w; %w", why, err)
		}
		return tgt{}, err
	}
	allowed := &cfg.LibDefaults.DefaultTktEnctypeIDs
	if *allowed = both(*allowed, held); len(*allowed) == 0 {
		return tgt{}, fmt.Errorf("%w: the keytab %s has no key of %s of an encryption type that krb5.conf allows and this build has; it has types %v", ErrRefused, l.keytab, l.who, held)
	}
	return l.granting(ctx, cfg, kt)
}

// granting logs in by the keytab (RFC 4120, 3.1): as the KDC likes it at once, or else with
// the time, sealed.
func (l *Login) granting(ctx context.Context, cfg *config.Config, kt *keytab.Keytab) (tgt, error) {
	what := "the login of " + l.who.String()
	request, err := messages.NewASReqForTGT(l.who.realm, cfg, name(nametype.KRB_NT_PRINCIPAL, l.who.names...))
	if err != nil {
		return tgt{}, err
	}
	answer, err := l.send(ctx, l.who.realm, request.Marshal)
	if e, ok := errors.AsType[messages.KRBError](err); ok && e.ErrorCode == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		if request.PAData, err = l.sealedTime(cfg, kt, e); err != nil {
			return tgt{}, fmt.Errorf("prepare %s: %w", what, err)
		}
		answer, err = l.send(ctx, l.who.realm, request.Marshal)
	}
	if err != nil {
		return tgt{}, told(err, what)
	}
	var rep messages.ASRep
	if err := rep.Unmarshal(answer); err != nil {
		return tgt{}, told(err, what)
	}
	if ok, err := rep.Verify(cfg, credentials.New(strings.Join(l.who.names, "/"), l.who.realm).WithKeytab(kt), request); !ok {
		if e, is := errors.AsType[krberror.Krberror](err); is && e.RootCause == krberror.DecryptingError {
			return tgt{}, fmt.Errorf("%w %s: the keytab has not the key that the KDC has: export it anew", ErrRefused, what)
		}
		return tgt{}, told(err, what)
	}
	return tgt{client: l.who, ticket: rep.Ticket, key: rep.DecryptedEncPart.Key, end: rep.DecryptedEncPart.EndTime}, nil
}

// sealedTime proves that we have the key, by the time. The KDC has said with keys of what
// types it can read it, the best first.
func (l *Login) sealedTime(cfg *config.Config, kt *keytab.Keytab, e messages.KRBError) (types.PADataSequence, error) {
	kinds := cfg.LibDefaults.DefaultTktEnctypeIDs // those of the keytab's keys
	var said types.PADataSequence
	if err := said.Unmarshal(e.EData); err == nil {
		for _, pa := range said {
			if info, err := pa.GetETypeInfo2(); pa.PADataType == patype.PA_ETYPE_INFO2 && err == nil {
				var offered []int32
				for _, entry := range info {
					offered = append(offered, entry.EType)
				}
				if both := both(offered, kinds); len(both) > 0 {
					kinds = both
				}
			}
		}
	}
	key, kvno, err := kt.GetEncryptionKey(name(nametype.KRB_NT_PRINCIPAL, l.who.names...), l.who.realm, 0, kinds[0])
	if err != nil {
		return nil, err
	}
	now, err := types.GetPAEncTSEncAsnMarshalled()
	if err != nil {
		return nil, err
	}
	sealed, err := crypto.GetEncryptedData(now, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP, kvno)
	if err != nil {
		return nil, err
	}
	value, err := sealed.Marshal()
	return types.PADataSequence{{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: value}}, err
}

// exchange turns a ticket-granting ticket of a realm into a ticket for a service (RFC 4120,
// 3.3), over other realms if that one says so (RFC 6806, 8).
func (l *Login) exchange(ctx context.Context, cfg *config.Config, realm string, granting tgt, service types.PrincipalName) (messages.TGSRep, error) {
	what := granting.client.String() + " a ticket for " + service.PrincipalNameString()
	for range maxReferrals + 1 {
		request, err := messages.NewTGSReq(name(nametype.KRB_NT_PRINCIPAL, granting.client.names...), realm, cfg, granting.ticket, granting.key, service, false)
		if err != nil {
			return messages.TGSRep{}, err
		}
		answer, err := l.send(ctx, realm, request.Marshal)
		var rep messages.TGSRep
		if err == nil {
			err = rep.Unmarshal(answer)
		}
		if err == nil {
			err = rep.DecryptEncPart(granting.key)
		}
		if err == nil {
			_, err = rep.Verify(cfg, request)
		}
		if err != nil {
			return messages.TGSRep{}, told(err, what)
		}
		got := rep.Ticket.SName
		if len(got.NameString) != 2 || got.NameString[0] != "krbtgt" || got.Equal(service) {
			return rep, nil
		}
		realm, granting.ticket, granting.key = got.NameString[1], rep.Ticket, rep.DecryptedEncPart.Key
	}
	return messages.TGSRep{}, fmt.Errorf("%w %s: more than %d realms refer to each other", ErrRefused, what, maxReferrals)
}

// send asks for an answer that is no error.
func (l *Login) send(ctx context.Context, realm string, marshal func() ([]byte, error)) ([]byte, error) {
	request, err := marshal()
	if err != nil {
		return nil, err
	}
	answer, err := l.conf.send(ctx, realm, request)
	if err != nil {
		return nil, err
	}
	var refused messages.KRBError
	if refused.Unmarshal(answer) == nil {
		return nil, refused
	}
	return answer, nil
}

// hints say what to do about answers that operators meet.
var hints = map[int32]string{
	errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN: "the KDC does not know the principal of sasl.jaas.config",
	errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN: "the KDC does not know this service: compare sasl.kerberos.service.name and the host with the broker's principal",
	errorcode.KDC_ERR_PREAUTH_FAILED:      "the keytab has not the key that the KDC has: export it anew",
	errorcode.KDC_ERR_ETYPE_NOSUPP:        "the KDC has no key of an encryption type that krb5.conf and the keytab allow",
	errorcode.KRB_AP_ERR_BAD_INTEGRITY:    "the keytab has not the key that the KDC has: export it anew",
	errorcode.KRB_AP_ERR_SKEW:             "set the clocks",
}

// told makes one line of what the KDC, or gokrb5, says. What a KDC says about a request it
// says again, but for when it cannot answer.
func told(err error, what string) error {
	if e, ok := errors.AsType[messages.KRBError](err); ok {
		text := printable(e.EText)
		if hint := hints[e.ErrorCode]; hint != "" {
			text = strings.TrimSpace(text + " (" + hint + ")")
		}
		if e.ErrorCode == errorcode.KDC_ERR_SVC_UNAVAILABLE {
			return fmt.Errorf("the KDC cannot answer about %s: %s %s", what, errorcode.Lookup(e.ErrorCode), text)
		}
		return fmt.Errorf("%w %s: %s %s", ErrRefused, what, errorcode.Lookup(e.ErrorCode), text)
	}
	if e, ok := errors.AsType[krberror.Krberror](err); ok {
		return fmt.Errorf("understand the KDC's answer about %s: %s", what, printable(strings.Join(e.EText, ": ")))
	}
	return fmt.Errorf("%w (about %s)", err, what)
}

// printable is text of the network for a log.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text[:min(len(text), 500)])
}
