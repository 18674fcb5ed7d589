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
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// S3 upload limits. A part of 8 MiB keeps an upload of two parts in flight within
// 24 MiB of memory and still reaches 80 GB in S3's 10,000 parts.
const (
	defaultPartBytes = 8 << 20
	minPartBytes     = 5 << 20 // S3's own lower limit for all parts but the last
	maxPartBytes     = 1 << 30
	maxParts         = 10_000
	partsInFlight    = 2
)

// s3Options are the properties of Java's S3FileIO and AwsClientProperties that this
// build understands. It is comparable: equal options share a client.
type s3Options struct {
	endpoint                  string
	region                    string
	accessKey, secret, token  string
	pathStyle                 bool
	checksums                 bool
	sse                       types.ServerSideEncryption
	sseKey                    string
	partBytes                 int
	retry                     s3Retry
	roleARN, roleRegion       string
	roleSession, roleExternal string
}

// parseS3 reads the s3.* and client.* properties. Keys that it does not know change
// tuning only and are ignored; those that would change who can read the data are
// refused.
func parseS3(props map[string]string) (s3Options, error) {
	o := s3Options{
		endpoint:     props["s3.endpoint"],
		region:       props["client.region"],
		accessKey:    props["s3.access-key-id"],
		secret:       props["s3.secret-access-key"],
		token:        props["s3.session-token"],
		partBytes:    defaultPartBytes,
		roleARN:      props["client.assume-role.arn"],
		roleRegion:   props["client.assume-role.region"],
		roleSession:  props["client.assume-role.session-name"],
		roleExternal: props["client.assume-role.external-id"],
	}
	if r := props["s3.region"]; r != "" { // PyIceberg's spelling, the more specific one
		o.region = r
	}
	var err error
	o.pathStyle = flag(props, "s3.path-style-access", &err)
	o.checksums = flag(props, "s3.checksum-enabled", &err)
	remote := flag(props, "s3.remote-signing-enabled", &err)
	switch {
	case err != nil:
		return o, err
	case remote:
		return o, errors.New("s3.remote-signing-enabled is true: this build signs requests itself; let the catalog vend credentials, or set s3.access-key-id and s3.secret-access-key")
	case (o.accessKey == "") != (o.secret == ""):
		return o, errors.New("s3.access-key-id and s3.secret-access-key belong together: set both, or neither to use the environment's credentials")
	case o.token != "" && o.accessKey == "":
		return o, errors.New("s3.session-token is set without s3.access-key-id and s3.secret-access-key: set all three")
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
	if text := props["s3.multipart.size"]; text != "" {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < minPartBytes || n > maxPartBytes {
			return o, fmt.Errorf("s3.multipart.size %q: want %d to %d bytes", text, minPartBytes, maxPartBytes)
		}
		o.partBytes = n
	}
	return o, nil
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

// client makes the S3 client. Without keys it takes the environment's credentials:
// variables, the shared config files, the container or instance role. Share turns
// the TLS settings of that environment (AWS_CA_BUNDLE) into the process's client.
func (o s3Options) client(ctx context.Context, share func(*tls.Config) *http.Client) (*s3.Client, error) {
	own := awshttp.NewBuildableClient()
	opts := []func(*config.LoadOptions) error{config.WithHTTPClient(own)}
	if o.region != "" {
		opts = append(opts, config.WithRegion(o.region))
	} else if o.endpoint != "" {
		opts = append(opts, config.WithDefaultRegion("us-east-1")) // a store that is not AWS needs some region to sign for
	}
	if o.accessKey != "" {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(o.accessKey, o.secret, o.token)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration: %w", err)
	}
	if o.roleARN != "" {
		o.assumeRole(&cfg)
	}
	if cfg.Region == "" {
		return nil, errors.New("no AWS region: set client.region (or AWS_REGION)")
	}
	if adjusted, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		own = adjusted
	}
	shared := share(own.GetTransport().TLSClientConfig)
	return s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.HTTPClient = shared
		so.Retryer = o.retry.retryer()
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

func (o s3Options) assumeRole(cfg *aws.Config) {
	from := cfg.Copy()
	if o.roleRegion != "" {
		from.Region = o.roleRegion
	}
	cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(from), o.roleARN, func(a *stscreds.AssumeRoleOptions) {
		if o.roleSession != "" {
			a.RoleSessionName = o.roleSession
		}
		if o.roleExternal != "" {
			a.ExternalID = aws.String(o.roleExternal)
		}
	}))
}
