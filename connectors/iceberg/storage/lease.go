package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Renewal times of lent credentials: those of Java's VendedCredentialsProvider where
// it has them.
const (
	renewAhead    = 5 * time.Minute  // before they expire
	unknownLife   = time.Hour        // of credentials that do not say when they expire
	renewPause    = 10 * time.Second // after a renewal that failed while the old ones still hold
	renewDeadline = 30 * time.Second
)

// ErrExpired says that lent credentials have expired and cannot be renewed.
var ErrExpired = errors.New("credentials lent by the catalog have expired")

// A Lease is storage under credentials that a catalog lends for a time, per table. A
// FileIO made from it stays good: each request asks for the credentials of the
// moment, so that files and uploads outlive those they began with. They are renewed
// five minutes before they expire, or at half their life if that is later; when that
// fails, the old ones serve until their end.
//
// A Lease is safe for use from several goroutines; one renews, the others wait.
type Lease struct {
	renew func(context.Context) (map[string]string, error)
	turn  chan struct{} // held while renewing

	mu       sync.Mutex // guards what follows; never held across I/O
	props    map[string]string
	ends     time.Time
	renewAt  time.Time
	renewErr error
}

// NewLease makes a lease. Renew asks the catalog for the table's storage properties
// anew, with the credentials in them.
func NewLease(renew func(context.Context) (map[string]string, error)) *Lease {
	return &Lease{renew: renew, turn: make(chan struct{}, 1)}
}

// Update takes in the properties, with credentials, that have just come from the
// catalog; Update comes before anything else.
func (l *Lease) Update(props map[string]string) {
	now := time.Now()
	ends, ok := expiry(props)
	if !ok {
		ends = now.Add(unknownLife)
	}
	life := ends.Sub(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.props, l.ends, l.renewErr = maps.Clone(props), ends, nil
	l.renewAt = ends.Add(-min(renewAhead, life/2))
}

// FileIO is the storage of a location under the lease.
func (l *Lease) FileIO(ctx context.Context, location string) (FileIO, error) {
	props, _, err := l.current(ctx)
	if err != nil {
		return nil, err
	}
	return process().open(ctx, props, location, l)
}

// current returns the properties with credentials that are good now, and until when.
func (l *Lease) current(ctx context.Context) (map[string]string, time.Time, error) {
	if !l.due() {
		return l.held()
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, time.Time{}, context.Cause(ctx)
	}
	if !l.due() { // renewed while we waited
		return l.held()
	}
	rctx, cancel := context.WithTimeout(ctx, renewDeadline)
	defer cancel()
	props, err := l.renew(rctx)
	switch {
	case err == nil:
		l.Update(props)
	case ctx.Err() != nil: // says nothing about the catalog: the next one asks
		return nil, time.Time{}, context.Cause(ctx)
	default:
		l.mu.Lock()
		l.renewErr, l.renewAt = err, time.Now().Add(renewPause)
		l.mu.Unlock()
	}
	return l.held()
}

// due tells whether to renew now.
func (l *Lease) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.renewAt)
}

// held returns what there is, if it has not expired.
func (l *Lease) held() (map[string]string, time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case time.Now().Before(l.ends):
		return l.props, l.ends, nil
	case l.renewErr != nil:
		return nil, time.Time{}, fmt.Errorf("%w at %s; renew them: %w", ErrExpired, l.ends.Format(time.RFC3339), l.renewErr)
	}
	return nil, time.Time{}, fmt.Errorf("%w at %s, and so have those it lends now: compare the clocks", ErrExpired, l.ends.Format(time.RFC3339))
}

// expiry is the earliest end that properties state, in milliseconds since 1970.
// (Source: S3FileIOProperties, GCPProperties and AzureProperties of Iceberg.)
func expiry(props map[string]string) (earliest time.Time, ok bool) {
	for key, text := range props {
		switch {
		case key == "s3.session-token-expires-at-ms", key == "gcs.oauth2.token-expires-at", key == "expiration-time":
		case strings.HasPrefix(key, "adls.sas-token-expires-at-ms"):
		default:
			continue
		}
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms <= 0 {
			continue
		}
		if at := time.UnixMilli(ms); !ok || at.Before(earliest) {
			earliest, ok = at, true
		}
	}
	return earliest, ok
}

// Lent tells whether props hold credentials that base, the catalog's own properties,
// do not hold: the catalog lends them for this table.
func Lent(props, base map[string]string) bool {
	for key, v := range props {
		credential := key == "s3.session-token" || key == "s3.access-key-id" || key == "gcs.oauth2.token" || strings.HasPrefix(key, "adls.sas-token.")
		if credential && v != "" && v != base[key] {
			return true
		}
	}
	return false
}

// lentToS3 is a lease as the SDK asks for credentials: anew for each request.
type lentToS3 struct{ lease *Lease }

func (l lentToS3) Retrieve(ctx context.Context) (aws.Credentials, error) {
	props, ends, err := l.lease.current(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{
		AccessKeyID: props["s3.access-key-id"], SecretAccessKey: props["s3.secret-access-key"], SessionToken: props["s3.session-token"],
		Source: "catalog", CanExpire: true, Expires: ends,
	}, nil
}
