package krb5

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

const aes = etypeID.AES256_CTS_HMAC_SHA1_96

// A kdc is a fake KDC of some realms, on TCP. It refers to realm B for what A has not.
type kdc struct {
	t    *testing.T
	ln   net.Listener
	keys *keytab.Keytab
	life time.Duration // of tickets

	mu      sync.Mutex // guards the rest
	asked   []string
	says    []byte // to everything, if there is something
	preauth bool   // wants the time, sealed, until it has got a wrong one
}

// newKDC starts one that knows principals, each by a password that is its name.
func newKDC(t *testing.T, principals ...string) *kdc {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	k := &kdc{t: t, ln: ln, keys: keysOf(t, principals...), life: time.Hour}
	var wg sync.WaitGroup
	wg.Go(k.serve)
	t.Cleanup(func() {
		_ = ln.Close()
		wg.Wait()
	})
	return k
}

// keysOf makes a keytab in which a password is the principal's name.
func keysOf(t *testing.T, principals ...string) *keytab.Keytab {
	t.Helper()
	kt := keytab.New()
	for _, p := range principals {
		name, realm, _ := strings.Cut(p, "@")
		if err := kt.AddEntry(name, realm, p, time.Unix(1000, 0), 1, aes); err != nil {
			t.Fatal(err)
		}
	}
	return kt
}

func write(t *testing.T, data []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeKeytab(t *testing.T, kt *keytab.Keytab) (path string) {
	t.Helper()
	data, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, data)
}

// env is where a login finds a krb5.conf that names this KDC for the realms A and B.
func (k *kdc) env() func(string) string {
	realm := " = {\n kdc = " + k.ln.Addr().String() + "\n auth_to_local_names = {\n  a = b\n }\n}\n"
	text := "[libdefaults]\ndefault_realm = A\n[realms]\nA" + realm + "B" + realm + "[domain_realm]\n.b.test = B\n"
	return vars("KRB5_CONFIG", write(k.t, []byte(text)))
}

func vars(pairs ...string) func(string) string {
	return func(name string) string {
		if i := slices.Index(pairs, name); i >= 0 {
			return pairs[i+1]
		}
		return ""
	}
}

func (k *kdc) serve() {
	for {
		c, err := k.ln.Accept()
		if err != nil {
			return
		}
		if err := k.one(c); err != nil {
			k.t.Errorf("fake KDC: %v", err)
		}
	}
}

func (k *kdc) one(c net.Conn) error {
	defer c.Close() //nolint:errcheck // nothing is lost
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	request := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, request); err != nil {
		return err
	}
	k.mu.Lock()
	answer := k.says
	k.mu.Unlock()
	if answer == nil {
		var err error
		if answer, err = k.answer(request); err != nil {
			return err
		}
		answer = append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...)
	}
	_, err := c.Write(answer)
	return err
}

func (k *kdc) answer(request []byte) ([]byte, error) {
	var as messages.ASReq
	if as.Unmarshal(request) == nil {
		if code := k.unsealed(as); code != 0 {
			return k.refuse(as.KDCReqFields, code)
		}
		rep, err := k.reply(as.KDCReqFields, as.ReqBody.CName, as.ReqBody.Realm, msgtype.KRB_AS_REP, func() (types.EncryptionKey, uint32, error) {
			key, _, err := k.keys.GetEncryptionKey(as.ReqBody.CName, as.ReqBody.Realm, 0, aes)
			return key, keyusage.AS_REP_ENCPART, err
		})
		if err != nil {
			return k.refuse(as.KDCReqFields, errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN)
		}
		return (&messages.ASRep{KDCRepFields: rep}).Marshal()
	}
	var tgs messages.TGSReq
	if err := tgs.Unmarshal(request); err != nil {
		return nil, err
	}
	var ap messages.APReq
	for _, pa := range tgs.PAData {
		if pa.PADataType == patype.PA_TGS_REQ {
			if err := ap.Unmarshal(pa.PADataValue); err != nil {
				return nil, err
			}
		}
	}
	if err := ap.Ticket.DecryptEncPart(k.keys, nil); err != nil {
		return nil, err
	}
	shown := ap.Ticket.DecryptedEncPart
	wanted := &tgs.ReqBody
	if _, _, err := k.keys.GetEncryptionKey(wanted.SName, "B", 0, aes); err == nil && wanted.Realm == "A" {
		wanted.SName = name(nametype.KRB_NT_SRV_INST, "krbtgt", "B")
	}
	rep, err := k.reply(tgs.KDCReqFields, shown.CName, shown.CRealm, msgtype.KRB_TGS_REP, func() (types.EncryptionKey, uint32, error) {
		return shown.Key, keyusage.TGS_REP_ENCPART_SESSION_KEY, nil
	})
	if err != nil {
		return k.refuse(tgs.KDCReqFields, errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN)
	}
	return (&messages.TGSRep{KDCRepFields: rep}).Marshal()
}

func (k *kdc) refuse(rq messages.KDCReqFields, code int32) ([]byte, error) {
	e := messages.NewKRBError(rq.ReqBody.SName, rq.ReqBody.Realm, code, "no\nsuch")
	if code == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		info, err := asn1.Marshal(types.ETypeInfo2{{EType: etypeID.AES128_CTS_HMAC_SHA1_96}, {EType: aes}})
		if err != nil {
			return nil, err
		}
		if e.EData, err = asn1.Marshal(types.PADataSequence{{PADataType: patype.PA_ENC_TIMESTAMP}, {PADataType: patype.PA_ETYPE_INFO2, PADataValue: info}}); err != nil {
			return nil, err
		}
	}
	return e.Marshal()
}

// unsealed looks at the preauthentication of a request: 0 is good.
func (k *kdc) unsealed(as messages.ASReq) (code int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.preauth {
		return 0
	}
	for _, pa := range as.PAData {
		var sealed types.EncryptedData
		key, _, err := k.keys.GetEncryptionKey(as.ReqBody.CName, as.ReqBody.Realm, 0, aes)
		if pa.PADataType == patype.PA_ENC_TIMESTAMP && err == nil && sealed.Unmarshal(pa.PADataValue) == nil {
			if _, err := crypto.DecryptEncPart(sealed, key, keyusage.AS_REQ_PA_ENC_TIMESTAMP); err == nil {
				return 0
			}
			k.preauth = false
			return errorcode.KDC_ERR_PREAUTH_FAILED
		}
	}
	return errorcode.KDC_ERR_PREAUTH_REQUIRED
}

func (k *kdc) reply(rq messages.KDCReqFields, client types.PrincipalName, realm string, kind int, sealed func() (types.EncryptionKey, uint32, error)) (rep messages.KDCRepFields, err error) {
	k.mu.Lock()
	k.asked = append(k.asked, rq.ReqBody.SName.PrincipalNameString()+"@"+rq.ReqBody.Realm)
	k.mu.Unlock()
	now := time.Now().UTC().Truncate(time.Second)
	ticket, session, err := messages.NewTicket(client, realm, rq.ReqBody.SName, rq.ReqBody.Realm, types.NewKrbFlags(), k.keys, aes, 0, now, now, now.Add(k.life), now)
	if err != nil {
		return rep, err
	}
	part := messages.EncKDCRepPart{
		Key: session, LastReqs: []messages.LastReq{}, Nonce: rq.ReqBody.Nonce, Flags: types.NewKrbFlags(),
		AuthTime: now, StartTime: now, EndTime: now.Add(k.life), SRealm: rq.ReqBody.Realm, SName: rq.ReqBody.SName,
	}
	plain, err := part.Marshal()
	if err != nil {
		return rep, err
	}
	key, usage, err := sealed()
	if err != nil {
		return rep, err
	}
	sealedPart, err := crypto.GetEncryptedData(plain, key, usage, 0)
	return messages.KDCRepFields{PVNO: iana.PVNO, MsgType: kind, CRealm: realm, CName: client, Ticket: ticket, EncPart: sealedPart}, err
}

func (k *kdc) was() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return fmt.Sprint(k.asked)
}

// cache makes a ticket cache of version 4, with an entry of configuration before the ticket.
func (k *kdc) cache(t *testing.T, client string, end time.Time) []byte {
	t.Helper()
	who, realm, _ := strings.Cut(client, "@")
	granting := types.NewPrincipalName(nametype.KRB_NT_SRV_INST, "krbtgt/"+realm)
	ticket, session, err := messages.NewTicket(types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, who), realm, granting, realm, types.NewKrbFlags(), k.keys, aes, 0, time.Now(), time.Now(), end, end)
	if err != nil {
		t.Fatal(err)
	}
	der, err := ticket.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	u32 := binary.BigEndian.AppendUint32
	sized := func(b, data []byte) []byte { return append(u32(b, uint32(len(data))), data...) }
	principal := func(b []byte, realm string, names ...string) []byte {
		b = sized(u32(u32(b, 1), uint32(len(names))), []byte(realm))
		for _, n := range names {
			b = sized(b, []byte(n))
		}
		return b
	}
	entry := func(b []byte, server func([]byte) []byte, key types.EncryptionKey, ticket []byte) []byte {
		b = server(principal(b, realm, strings.Split(who, "/")...))
		b = sized(binary.BigEndian.AppendUint16(b, uint16(key.KeyType)), key.KeyValue)
		for range 4 {
			b = u32(b, uint32(end.Unix()))
		}
		b = append(b, 0, 0, 0, 0, 0)
		b = u32(u32(b, 0), 0)
		return sized(sized(b, ticket), nil)
	}
	b := principal([]byte{5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}, realm, strings.Split(who, "/")...)
	b = entry(b, func(b []byte) []byte { return principal(b, "X-CACHECONF:", "krb5_ccache_conf_data", "fast_avail") }, types.EncryptionKey{}, []byte("yes"))
	return entry(b, func(b []byte) []byte { return principal(b, realm, "krbtgt", realm) }, session, der)
}
