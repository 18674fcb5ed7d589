package storage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// s3Options are the properties of Java's S3FileIO and AwsClientProperties that this
// build understands. It is comparable: equal options share a client.
type s3Options struct {
	awsIdentity
	lease     *Lease // lends the credentials; nil: they are the identity's
	endpoint  string
	pathStyle bool
	checksums bool
	sse       types.ServerSideEncryption
	sseKey    string
	partBytes int
	retry     s3Retry
}

// parseS3 reads the s3.* and client.* properties. Keys that it does not know change
// tuning only and are ignored; those that would change who can read the data are
// refused.
func parseS3(props map[string]string) (o s3Options, err error) {
	o.endpoint, o.partBytes = props["s3.endpoint"], defaultPartBytes
	if o.awsIdentity, err = parseAWS(props, "s3"); err != nil {
		return o, err
	}
	o.pathStyle = flag(props, "s3.path-style-access", &err)
	o.checksums = flag(props, "s3.checksum-enabled", &err)
	remote := flag(props, "s3.remote-signing-enabled", &err)
	switch {
	case err != nil:
		return o, err
	case remote:
		return o, errors.New("s3.remote-signing-enabled is true: this build signs requests itself; let the catalog vend credentials, or set s3.access-key-id and s3.secret-access-key")
	}
	if o.endpoint != "" {
		if u, err := url.Parse(o.endpoint); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
			return o, errors.New("s3.endpoint is no http or https address without user: write for example https://storage.example.com:9000")
		}
	}
	if err := o.parseEncryption(props); err != nil {
		return o, err
	}
	if o.retry, err = parseRetry(props); err != nil {
		return o, err
	}
	return o, o.parsePartSize(props)
}

// parsePartSize reads s3.multipart.part-size-bytes (Java's S3FileIOProperties), and
// s3.multipart.size as Java's documentation once spelled it.
func (o *s3Options) parsePartSize(props map[string]string) error {
	for _, key := range []string{"s3.multipart.size", "s3.multipart.part-size-bytes"} {
		text := strings.TrimSpace(props[key])
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < minPartBytes || n > maxPartBytes {
			return fmt.Errorf("%s %q: want %d to %d bytes", key, text, minPartBytes, maxPartBytes)
		}
		o.partBytes = n
	}
	return nil
}

func (o *s3Options) parseEncryption(props map[string]string) error {
	switch sse := strings.ToLower(props["s3.sse.type"]); sse {
	case "", "none":
	case "s3":
		o.sse = types.ServerSideEncryptionAes256
	case "kms":
		o.sse, o.sseKey = types.ServerSideEncryptionAwsKms, props["s3.sse.key"]
	case "dsse-kms":
		o.sse, o.sseKey = types.ServerSideEncryptionAwsKmsDsse, props["s3.sse.key"]
	default:
		return fmt.Errorf("s3.sse.type %q is not in this build; it has none, s3, kms, dsse-kms", sse)
	}
	return nil
}

// flag reads a boolean property; absent is false. The first fault stays in err.
func flag(props map[string]string, key string, err *error) bool {
	text := strings.TrimSpace(props[key])
	if text == "" {
		return false
	}
	b, parseErr := strconv.ParseBool(strings.ToLower(text))
	if parseErr != nil && *err == nil {
		*err = fmt.Errorf("%s %q: want true or false", key, text)
	}
	return b
}

// client makes the S3 client.
func (o s3Options) client(ctx context.Context, share func(tlsFiles, *tls.Config) *http.Client) (*s3.Client, error) {
	elsewhere := ""
	if o.endpoint != "" {
		elsewhere = "us-east-1" // a store that is not AWS needs some region to sign for
	}
	cfg, err := o.config(ctx, elsewhere, share)
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.Retryer = o.retry.retryer()
		if o.lease != nil {
			so.Credentials = lentToS3{o.lease}
		}
		if o.endpoint != "" {
			so.BaseEndpoint = aws.String(o.endpoint)
		}
		so.UsePathStyle = o.pathStyle
		// The signature covers the SHA-256 of the payload already; the SDK's further
		// trailing checksums are refused by many stores that are not AWS.
		if !o.checksums {
			so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
	}), nil
}
