package storage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// Google Cloud Storage is used by its XML API, which is S3's but for who we are: a
// bearer token, found by Google's own library. So it shares reading, uploads in parts
// and their abortion with S3. Google's client library would bring gRPC, 14 MB of
// program, for the same requests.
// (Source: Cloud Storage, "XML API" and "XML API multipart uploads".)

// gcsOptions are the properties of Java's GCSFileIO and of iceberg-go that this build
// understands. It is comparable: equal options share a client.
type gcsOptions struct {
	lease    *Lease // lends the token; nil: the rest tells who we are
	host     string
	token    string // gcs.oauth2.token
	key      string // JSON of a service account or another credential
	keyType  string
	noAuth   bool
	project  string // that pays for requests
	partSize int
	retry    s3Retry
	tls      tlsFiles
}

const (
	gcsHost  = "https://storage.googleapis.com"
	gcsScope = "https://www.googleapis.com/auth/devstorage.read_write"
)

// gcsKeyTypes are the kinds of credential files that may be given as gcs.credtype.
// Others can make this process run a command or ask any address.
var gcsKeyTypes = map[string]google.CredentialsType{
	"":                             google.ServiceAccount,
	"service_account":              google.ServiceAccount,
	"authorized_user":              google.AuthorizedUser,
	"impersonated_service_account": google.ImpersonatedServiceAccount,
	"external_account":             google.ExternalAccount,
}

// parseGCS reads the gcs.* properties. Those that it does not know change tuning only
// and are ignored; those that would change who can read the data are refused.
func parseGCS(props map[string]string) (o gcsOptions, err error) {
	o = gcsOptions{
		host: gcsHost, token: props["gcs.oauth2.token"], key: props["gcs.jsonkey"], keyType: props["gcs.credtype"],
		project: props["gcs.user-project"], partSize: defaultPartBytes,
	}
	for _, key := range []string{"gcs.encryption-key", "gcs.decryption-key", "gcs.impersonate.service-account"} {
		if props[key] != "" {
			return o, fmt.Errorf("%s is not in this build", key)
		}
	}
	if h := props["gcs.service.host"]; h != "" {
		if u, err := url.Parse(h); err != nil || u.Host == "" || u.User != nil {
			return o, errors.New("gcs.service.host is no http or https address: write for example https://storage.googleapis.com")
		}
		o.host = strings.TrimRight(h, "/")
	}
	o.noAuth = flag(props, "gcs.no-auth", &err)
	if err != nil {
		return o, err
	}
	if path := props["gcs.keypath"]; path != "" && o.key == "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return o, fmt.Errorf("gcs.keypath: %w", err)
		}
		o.key = string(data)
	}
	if _, ok := gcsKeyTypes[o.keyType]; !ok {
		return o, fmt.Errorf("gcs.credtype %q is not in this build; it has service_account, authorized_user, impersonated_service_account, external_account", o.keyType)
	}
	if text := props["gcs.channel.write.chunk-size-bytes"]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n > maxPartBytes {
			return o, fmt.Errorf("gcs.channel.write.chunk-size-bytes %q: want up to %d bytes", text, maxPartBytes)
		}
		o.partSize = max(n, minPartBytes)
	}
	if o.retry, err = parseRetry(props); err != nil {
		return o, err
	}
	o.tls, err = readTLS(props)
	return o, err
}

// gcs finds or makes the storage of gs:// locations.
func (c *clients) gcs(ctx context.Context, props map[string]string, lease *Lease) (FileIO, error) {
	opts, err := parseGCS(props)
	if err != nil {
		return nil, err
	}
	if opts.lease = lease; lease != nil {
		opts.token, opts.key = "", ""
	}
	return c.cached(opts, func() (FileIO, error) {
		trust, err := opts.tls.config()
		if err != nil {
			return nil, err
		}
		shared := c.shared(opts.tls, trust)
		source, err := opts.tokens(ctx, shared)
		if err != nil {
			return nil, err
		}
		client := s3.New(s3.Options{
			BaseEndpoint: aws.String(opts.host), UsePathStyle: true, Region: "auto", Credentials: aws.AnonymousCredentials{},
			Retryer:                    opts.retry.retryer(),
			RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
			ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
			HTTPClient: &http.Client{
				Transport:     &gcsTransport{base: shared.Transport, token: source, project: opts.project},
				CheckRedirect: shared.CheckRedirect,
			},
		})
		return &S3{client: client, opts: s3Options{partBytes: opts.partSize}, google: true}, nil
	})
}

// tokens returns what gives the token of the moment, "" for none.
func (o gcsOptions) tokens(ctx context.Context, client *http.Client) (func(context.Context) (string, error), error) {
	switch {
	case o.noAuth:
		return func(context.Context) (string, error) { return "", nil }, nil
	case o.lease != nil:
		return func(ctx context.Context) (string, error) {
			props, _, err := o.lease.current(ctx)
			return props["gcs.oauth2.token"], err
		}, nil
	case o.token != "":
		return func(context.Context) (string, error) { return o.token, nil }, nil
	}
	return o.googleTokens(ctx, client, gcsScope)
}

// googleTokens asks Google for tokens of a key, or of the process's own identity.
func (o gcsOptions) googleTokens(ctx context.Context, client *http.Client, scope string) (func(context.Context) (string, error), error) {
	// The source lives as long as the client, so it must not end with this call.
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, client)
	var found *google.Credentials
	var err error
	if o.key != "" {
		found, err = google.CredentialsFromJSONWithType(ctx, []byte(o.key), gcsKeyTypes[o.keyType], scope)
		if err != nil {
			return nil, errors.New("gcs.keypath or gcs.jsonkey is no credential of the kind that gcs.credtype names (default service_account)") // its error may quote the key
		}
	} else if found, err = google.FindDefaultCredentials(ctx, scope); err != nil {
		return nil, errors.New("no Google credentials: set gcs.keypath to a service account's key file, or GOOGLE_APPLICATION_CREDENTIALS, or gcs.no-auth=true")
	}
	source := oauth2.ReuseTokenSource(nil, found.TokenSource)
	return func(context.Context) (string, error) {
		token, err := source.Token()
		if err != nil {
			return "", fmt.Errorf("obtain a Google token: %w", googleError(err))
		}
		return token.AccessToken, nil
	}, nil
}

// googleError leaves the answer's body out, which may hold anything.
func googleError(err error) error {
	if refusal, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refusal.Response != nil {
		return fmt.Errorf("status %d %s", refusal.Response.StatusCode, refusal.ErrorCode)
	}
	return err
}

// GoogleTokens returns what gives the token of the moment for a service of Google other
// than Cloud Storage, by the same keys: gcs.keypath or gcs.jsonkey with gcs.credtype,
// else the process's own identity.
func GoogleTokens(ctx context.Context, props map[string]string, scope string) (func(context.Context) (string, error), error) {
	opts, err := parseGCS(props)
	if err != nil {
		return nil, err
	}
	trust, err := opts.tls.config()
	if err != nil {
		return nil, err
	}
	return opts.googleTokens(ctx, process().shared(opts.tls, trust), scope)
}

// A gcsTransport says to Google what the SDK says to Amazon: who we are, and that an
// object must be new.
type gcsTransport struct {
	base    http.RoundTripper
	token   func(context.Context) (string, error)
	project string
}

// RoundTrip implements [http.RoundTripper].
func (t *gcsTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := t.token(r.Context())
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	for key := range r.Header { // Google refuses a mixture of both families
		if low := strings.ToLower(key); strings.HasPrefix(low, "x-amz-") || strings.HasPrefix(low, "amz-sdk-") {
			r.Header.Del(key)
		}
	}
	if r.Header.Get("If-None-Match") == "*" {
		r.Header.Del("If-None-Match")
		r.Header.Set("X-Goog-If-Generation-Match", "0")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if t.project != "" {
		r.Header.Set("X-Goog-User-Project", t.project)
	}
	return t.base.RoundTrip(r)
}
