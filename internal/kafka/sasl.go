package kafka

import (
	"cmp"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/internal/jvm"
)

// sasl reads sasl.* of the mechanisms that sarama speaks. Neither user nor password shows
// in errors.
func (p *properties) sasl(cfg *sarama.Config) {
	cfg.Net.SASL.Enable = true
	var module string
	switch mechanism := p.text("sasl.mechanism", ""); mechanism {
	case sarama.SASLTypePlaintext:
		cfg.Net.SASL.Mechanism, module = sarama.SASLTypePlaintext, "PlainLoginModule"
	case sarama.SASLTypeSCRAMSHA256:
		cfg.Net.SASL.Mechanism, module = sarama.SASLTypeSCRAMSHA256, "ScramLoginModule"
		cfg.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scram{hash: sha256.New} }
	case sarama.SASLTypeSCRAMSHA512:
		cfg.Net.SASL.Mechanism, module = sarama.SASLTypeSCRAMSHA512, "ScramLoginModule"
		cfg.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &scram{hash: sha512.New} }
	case sarama.SASLTypeOAuth:
		cfg.Net.SASL.Mechanism, module = sarama.SASLTypeOAuth, "OAuthBearerLoginModule"
	default:
		p.bad("sasl.mechanism", mechanism, "this build has GSSAPI, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER")
		return
	}
	jaas, err := p.jaas(module)
	switch {
	case err != nil:
		p.fail("sasl.jaas.config", "sasl.jaas.config: %v", err)
	case !strings.HasSuffix(jaas.module, "."+module):
		p.fail("sasl.jaas.config", "sasl.jaas.config: sasl.mechanism %s needs org.apache.kafka.common.security's %s, not %s", cfg.Net.SASL.Mechanism, module, jaas.module)
	case module == "OAuthBearerLoginModule":
		cfg.Net.SASL.TokenProvider = p.oauth(jaas)
	case jaas.options["username"] == "" || jaas.options["password"] == "":
		p.fail("sasl.jaas.config", "sasl.jaas.config: username or password is missing")
	default:
		cfg.Net.SASL.User, cfg.Net.SASL.Password = jaas.options["username"], jaas.options["password"]
	}
}

// jaas is the login module of sasl.jaas.config, or else that of a name in the JAAS file that
// KAFKA_OPTS names: the entry KafkaClient is for all clients of a worker in Java.
func (p *properties) jaas(module string) (jaasEntry, error) {
	if text, given := p.given["sasl.jaas.config"]; given {
		return parseJAAS(text)
	}
	path := jvm.SystemProperty(os.Getenv("KAFKA_OPTS"), jvm.LoginConfig)
	missing := fmt.Errorf("Could not find a 'KafkaClient' entry in the JAAS configuration. System property '%s' is %s", jvm.LoginConfig, cmp.Or(path, "not set")) //nolint:staticcheck // Java's words
	if path == "" {
		return jaasEntry{}, missing
	}
	text, err := readJAASFile(strings.TrimPrefix(path, "file:"))
	if err != nil {
		return jaasEntry{}, err
	}
	entries, err := jvm.ParseJAAS(text)
	if err != nil {
		return jaasEntry{}, fmt.Errorf("read %s: %w", path, err)
	}
	modules := entries["KafkaClient"]
	if len(modules) == 0 {
		return jaasEntry{}, missing
	}
	chosen := max(0, slices.IndexFunc(modules, func(m jvm.LoginModule) bool { return strings.HasSuffix(m.Class, "."+module) }))
	return jaasEntry{module: modules[chosen].Class, options: modules[chosen].Options}, nil
}

const maxJAASBytes = 1 << 20

func readJAASFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxJAASBytes+1))
	if err == nil && len(text) > maxJAASBytes {
		err = fmt.Errorf("%s has more than %d bytes", path, maxJAASBytes)
	}
	return string(text), err
}

type jaasEntry struct {
	module  string
	options map[string]string
}

// parseJAAS reads one login module: CLASS required key="value" key=value ;
// (org.apache.kafka.common.security.JaasConfig, which tokenizes as Java source).
func parseJAAS(text string) (jaasEntry, error) {
	tokens, err := jaasTokens(text)
	if err != nil {
		return jaasEntry{}, err
	}
	if len(tokens) < 3 || tokens[len(tokens)-1] != ";" {
		return jaasEntry{}, errors.New("want LOGIN_MODULE_CLASS required option=\"value\" … ; (is the ; at the end missing?)")
	}
	entry := jaasEntry{module: tokens[0], options: map[string]string{}}
	rest := tokens[2 : len(tokens)-1]
	for ; len(rest) >= 3 && rest[1] == "="; rest = rest[3:] {
		entry.options[rest[0]] = strings.TrimPrefix(rest[2], `"`)
	}
	if len(rest) > 0 {
		return jaasEntry{}, errors.New("want option=\"value\" after the control flag")
	}
	return entry, nil
}

// jaasTokens splits into words, = and ;. A quoted word keeps its opening quote, so that
// a quoted ; is not taken for the end.
func jaasTokens(text string) ([]string, error) {
	var out []string
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case ' ', '\t', '\n', '\r':
			i++
		case '=', ';':
			out, i = append(out, string(c)), i+1
		case '"', '\'':
			word := []byte{'"'}
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' && i+1 < len(text) {
					i++
				}
				word = append(word, text[i])
			}
			if i == len(text) {
				return nil, errors.New("a quote is not closed")
			}
			out, i = append(out, string(word)), i+1
		default:
			end := i
			for end < len(text) && !strings.ContainsRune(" \t\r\n=;\"'", rune(text[end])) {
				end++
			}
			out, i = append(out, text[i:end]), end
		}
	}
	return out, nil
}

// errScram marks a failed conversation: trying again brings the same.
var errScram = errors.New("SCRAM authentication failed")

// scram is a SCRAM client (RFC 5802) of one conversation. Its user names and passwords
// are taken as they are, without SASLprep, as Kafka does.
type scram struct {
	hash      func() hash.Hash
	user      string
	password  string
	nonce     string
	first     string // client-first-message-bare
	signature []byte // expected from the server
	step      int
}

// Begin implements sarama.SCRAMClient.
func (s *scram) Begin(user, password, _ string) error {
	s.user, s.password = user, password
	s.nonce = rand.Text()
	return nil
}

// Done implements sarama.SCRAMClient.
func (s *scram) Done() bool { return s.step == 3 }

// Step implements sarama.SCRAMClient.
func (s *scram) Step(challenge string) (string, error) {
	s.step++
	switch s.step {
	case 1:
		user := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.user)
		s.first = "n=" + user + ",r=" + s.nonce
		return "n,," + s.first, nil
	case 2:
		return s.prove(challenge)
	case 3:
		return "", s.verify(challenge)
	}
	return "", fmt.Errorf("%w: the conversation is over", errScram)
}

// maxIterations bounds the work that a server may ask for.
const maxIterations = 1_000_000

func (s *scram) prove(challenge string) (string, error) {
	fields := scramFields(challenge)
	nonce := fields["r"]
	salt, err := base64.StdEncoding.DecodeString(fields["s"])
	iterations, ierr := strconv.Atoi(fields["i"])
	if err != nil || ierr != nil || !strings.HasPrefix(nonce, s.nonce) || iterations < 1 || iterations > maxIterations {
		return "", fmt.Errorf("%w: bad server-first-message", errScram)
	}
	size := s.hash().Size()
	salted, err := pbkdf2.Key(s.hash, s.password, salt, iterations, size)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errScram, err)
	}
	clientKey := s.mac(salted, "Client Key")
	stored := s.hash()
	stored.Write(clientKey)
	final := "c=biws,r=" + nonce
	message := s.first + "," + challenge + "," + final
	proof := s.mac(stored.Sum(nil), message)
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	s.signature = s.mac(s.mac(salted, "Server Key"), message)
	return final + ",p=" + base64.StdEncoding.EncodeToString(proof), nil
}

func (s *scram) verify(challenge string) error {
	fields := scramFields(challenge)
	if why := fields["e"]; why != "" {
		return fmt.Errorf("%w: the server says %s", errScram, why)
	}
	signature, err := base64.StdEncoding.DecodeString(fields["v"])
	if err != nil || !hmac.Equal(signature, s.signature) {
		return fmt.Errorf("%w: the server does not know the password: it may be an impostor", errScram)
	}
	return nil
}

func (s *scram) mac(key []byte, message string) []byte {
	h := hmac.New(s.hash, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

func scramFields(message string) map[string]string {
	out := map[string]string{}
	for part := range strings.SplitSeq(message, ",") {
		if key, value, ok := strings.Cut(part, "="); ok {
			out[key] = value
		}
	}
	return out
}
