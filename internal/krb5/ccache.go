package krb5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// A tgt is a ticket-granting ticket.
type tgt struct {
	client principal
	ticket messages.Ticket
	key    types.EncryptionKey
	end    time.Time
}

// cachePath is where the cache of tickets is: as the options say, or KRB5CCNAME, or Java's
// and MIT's default.
func cachePath(option string, getenv func(string) string) (string, error) {
	path := option
	if path == "" {
		path = getenv("KRB5CCNAME")
	}
	if path == "" {
		path = "/tmp/krb5cc_" + strconv.Itoa(os.Getuid())
	}
	kind, rest, found := strings.Cut(path, ":")
	switch {
	case found && strings.EqualFold(kind, "FILE"):
		return rest, nil
	case found && !strings.Contains(kind, "/") && len(kind) > 1:
		return "", fmt.Errorf("the ticket cache %s is no file: give ticketCache, or KRB5CCNAME, a file", path)
	}
	return path, nil
}

// readCache finds the ticket-granting ticket of a cache.
func readCache(path string) (tgt, error) {
	data, err := readFile(path)
	if err != nil {
		return tgt{}, fmt.Errorf("read the ticket cache: %w", err)
	}
	t, err := parseCache(data)
	if err != nil {
		return tgt{}, fmt.Errorf("read the ticket cache %s: %w", path, err)
	}
	return t, nil
}

// parseCache reads a cache of version 3 or 4 (MIT, "Credential cache file format"). It
// replaces gokrb5's reader, which makes room for as many addresses as a file says.
func parseCache(data []byte) (tgt, error) {
	r := &cacheReader{data: data}
	version := r.uint16()
	if version != 0x0503 && version != 0x0504 {
		return tgt{}, errors.New("it is no ticket cache of version 3 or 4")
	}
	if version == 0x0504 {
		r.bytes(int64(r.uint16())) // the header
	}
	client := r.principal()
	for !r.short && len(r.data) > 0 {
		cred := r.credential(version)
		if r.short || cred.client.realm != client.realm || !slices.Equal(cred.server.names, []string{"krbtgt", client.realm}) {
			continue
		}
		ticket, err := guarded(func() (out messages.Ticket, err error) { return out, out.Unmarshal(cred.ticket) })
		if err != nil {
			return tgt{}, errors.New("the ticket-granting ticket in it is malformed")
		}
		return tgt{client: client, ticket: ticket, key: cred.key, end: cred.end}, nil
	}
	if r.short {
		return tgt{}, errors.New("it ends in the middle of something")
	}
	return tgt{}, fmt.Errorf("it has no ticket-granting ticket of %s", client)
}

// A cacheReader takes values off the front of data, and zeroes after its end.
type cacheReader struct {
	data  []byte
	short bool
}

func (r *cacheReader) bytes(n int64) []byte {
	if n < 0 || n > int64(len(r.data)) {
		r.short, r.data = true, nil
		return nil
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

func (r *cacheReader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *cacheReader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *cacheReader) sized() []byte { return r.bytes(int64(r.uint32())) }

func (r *cacheReader) time() time.Time { return time.Unix(int64(r.uint32()), 0) }

func (r *cacheReader) principal() (p principal) {
	r.uint32() // type of name
	n := r.uint32()
	p.realm = string(r.sized())
	for ; n > 0 && !r.short; n-- {
		p.names = append(p.names, string(r.sized()))
	}
	return p
}

type credential struct {
	client, server principal
	key            types.EncryptionKey
	end            time.Time
	ticket         []byte
}

func (r *cacheReader) credential(version uint16) (c credential) {
	c.client, c.server = r.principal(), r.principal()
	c.key.KeyType = int32(r.uint16())
	if version == 0x0503 {
		r.uint16() // the type again
	}
	c.key.KeyValue = r.sized()
	r.time() // of authentication
	r.time() // of the start
	c.end = r.time()
	r.time()      // until when it may be renewed
	r.bytes(1)    // whether it is a session key
	r.bytes(4)    // flags
	for range 2 { // addresses, authorization data
		for n := r.uint32(); n > 0 && !r.short; n-- {
			r.uint16()
			r.sized()
		}
	}
	c.ticket = r.sized()
	r.sized() // a second ticket
	return c
}
