package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/IBM/sarama"
)

// A saslWire speaks the two requests of SASL on a connection that nobody else uses just
// then. Sarama has them, but only within its own authentication.
type saslWire struct {
	socket      net.Conn
	clientID    string
	correlation int32
}

// API keys, and the versions that Kafka has since 2.2.
const (
	apiSaslHandshake, apiSaslHandshakeVersion       = 17, 1
	apiSaslAuthenticate, apiSaslAuthenticateVersion = 36, 1
)

// maxSASLBytes bounds an answer. Tokens with Active Directory's lists of groups have 64 KiB.
const maxSASLBytes = 1 << 20

// handshake names the mechanism.
func (w *saslWire) handshake(mechanism string) error {
	r, err := w.roundTrip(apiSaslHandshake, apiSaslHandshakeVersion, appendString(nil, mechanism))
	if err != nil {
		return err
	}
	code := sarama.KError(r.int16())
	var offers []string
	for n := r.int32(); n > 0 && r.err == nil; n-- {
		offers = append(offers, string(r.take(int(r.int16()))))
	}
	switch {
	case r.err != nil:
		return errShortAnswer
	case code == sarama.ErrUnsupportedSASLMechanism:
		return unsupported(mechanism, offers)
	}
	return failure(code)
}

// authenticate sends one token and returns the answer's, and how long the broker lets the
// connection live without another authentication: 0 for ever.
func (w *saslWire) authenticate(token []byte) ([]byte, time.Duration, error) {
	body := binary.BigEndian.AppendUint32(nil, uint32(len(token)))
	r, err := w.roundTrip(apiSaslAuthenticate, apiSaslAuthenticateVersion, append(body, token...))
	if err != nil {
		return nil, 0, err
	}
	code := sarama.KError(r.int16())
	var message string
	if n := r.int16(); n > 0 {
		message = string(r.take(int(n)))
	}
	var answer []byte
	if n := r.int32(); n > 0 {
		answer = r.take(int(n))
	}
	lifetime := r.int64()
	switch {
	case r.err != nil:
		return nil, 0, errShortAnswer
	case code != sarama.ErrNoError:
		return nil, 0, fmt.Errorf("%w: %.300q", failure(code), message)
	}
	return answer, time.Duration(min(max(lifetime, 0), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond, nil
}

var errShortAnswer = errors.New("the broker's answer is shorter than it says")

func (w *saslWire) roundTrip(key, version int16, body []byte) (*reader, error) {
	w.correlation++
	request := binary.BigEndian.AppendUint32(nil, uint32(10+len(w.clientID)+len(body)))
	request = binary.BigEndian.AppendUint16(request, uint16(key))
	request = binary.BigEndian.AppendUint16(request, uint16(version))
	request = binary.BigEndian.AppendUint32(request, uint32(w.correlation))
	request = append(appendString(request, w.clientID), body...)
	if _, err := w.socket.Write(request); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(w.socket, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxSASLBytes {
		return nil, fmt.Errorf("the broker's answer has %d bytes, more than %d", n, maxSASLBytes)
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(w.socket, answer); err != nil {
		return nil, err
	}
	r := &reader{rest: answer}
	if got := r.int32(); got != w.correlation {
		return nil, fmt.Errorf("the broker answers request %d, not %d", got, w.correlation)
	}
	return r, nil
}
