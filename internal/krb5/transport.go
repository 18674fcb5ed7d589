package krb5

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	kdcTimeout     = 5 * time.Second // of one KDC, on one transport
	maxAnswerBytes = 1 << 20
)

// send asks the KDCs of a realm, one after the other, until one answers: by TCP, and by UDP
// if there is no TCP. They are those of krb5.conf, or else DNS names them.
func (c *conf) send(ctx context.Context, realm string, request []byte) ([]byte, error) {
	kdcs, err := c.find(ctx, realm)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, kdc := range kdcs {
		answer, err := overTCP(ctx, kdc, request)
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			var overUDPErr error
			if answer, overUDPErr = overUDP(ctx, kdc, request); overUDPErr == nil {
				err = nil
			}
		}
		if err == nil {
			return answer, nil
		}
		err = fmt.Errorf("ask the KDC %s: %w", kdc, err)
		if failed != nil {
			err = fmt.Errorf("%w; %w", failed, err)
		}
		failed = err
	}
	return nil, failed
}

func (c *conf) find(ctx context.Context, realm string) ([]string, error) {
	if kdcs := c.kdcs[realm]; len(kdcs) > 0 {
		return kdcs, nil
	}
	if lookup, err := strconv.ParseBool(c.defaults["dns_lookup_kdc"]); err == nil && !lookup {
		return nil, fmt.Errorf("krb5.conf names no kdc of realm %s", realm)
	}
	ctx, cancel := context.WithTimeout(ctx, kdcTimeout)
	defer cancel()
	_, found, err := net.DefaultResolver.LookupSRV(ctx, "kerberos", "tcp", realm)
	if err != nil {
		return nil, fmt.Errorf("krb5.conf names no kdc of realm %s, and neither does DNS: %w", realm, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("krb5.conf names no kdc of realm %s, and neither does DNS", realm)
	}
	var kdcs []string
	for _, srv := range found {
		kdcs = append(kdcs, net.JoinHostPort(strings.TrimSuffix(srv.Target, "."), strconv.Itoa(int(srv.Port))))
	}
	return kdcs, nil
}

func dial(ctx context.Context, network, kdc string) (net.Conn, error) {
	until := time.Now().Add(kdcTimeout)
	socket, err := (&net.Dialer{Deadline: until}).DialContext(ctx, network, kdc)
	if err != nil {
		return nil, err
	}
	return socket, socket.SetDeadline(until)
}

// overTCP puts the length before a message (RFC 4120, 7.2.2).
func overTCP(ctx context.Context, kdc string, request []byte) ([]byte, error) {
	socket, err := dial(ctx, "tcp", kdc)
	if err != nil {
		return nil, err
	}
	defer socket.Close() //nolint:errcheck // the answer is there, or an error
	if _, err := socket.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(socket, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxAnswerBytes {
		return nil, fmt.Errorf("its answer has %d bytes, more than %d", n, maxAnswerBytes)
	}
	answer := make([]byte, n)
	_, err = io.ReadFull(socket, answer)
	return answer, err
}

func overUDP(ctx context.Context, kdc string, request []byte) ([]byte, error) {
	socket, err := dial(ctx, "udp", kdc)
	if err != nil {
		return nil, err
	}
	defer socket.Close() //nolint:errcheck // the answer is there, or an error
	if _, err := socket.Write(request); err != nil {
		return nil, err
	}
	answer := make([]byte, 1<<16)
	n, err := socket.Read(answer)
	return answer[:n], err
}
