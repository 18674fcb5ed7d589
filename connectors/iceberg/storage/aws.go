package storage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// An awsIdentity is who we are to AWS and where. It is comparable.
type awsIdentity struct {
	region                    string
	accessKey, secret, token  string
	roleARN, roleRegion       string
	roleSession, roleExternal string
	tls                       tlsFiles
}

// parseAWS reads the identity for one service ("s3", "glue", "rest"): its own keys,
// SERVICE.access-key-id, SERVICE.secret-access-key and SERVICE.session-token, else
// those of all services, client.access-key-id and so on (PyIceberg's names). Keys of
// S3 stand for all services too, unless s3.endpoint says that they are another
// store's. None at all means the environment's credentials.
func parseAWS(props map[string]string, service string) (awsIdentity, error) {
	id := awsIdentity{
		region:       props["client.region"],
		roleARN:      props["client.assume-role.arn"],
		roleRegion:   props["client.assume-role.region"],
		roleSession:  props["client.assume-role.session-name"],
		roleExternal: props["client.assume-role.external-id"],
	}
	own := map[string]string{"s3": "s3.region", "glue": "glue.region", "rest": "rest.signing-region"}[service]
	if r := props[own]; r != "" { // PyIceberg's spelling, the more specific one
		id.region = r
	}
	prefixes := []string{service + ".", "client."}
	if service != "s3" && props["s3.endpoint"] == "" {
		prefixes = append(prefixes, "s3.")
	}
	for _, prefix := range prefixes {
		key, secret, token := props[prefix+"access-key-id"], props[prefix+"secret-access-key"], props[prefix+"session-token"]
		switch {
		case (key == "") != (secret == ""):
			return id, fmt.Errorf("%saccess-key-id and %[1]ssecret-access-key belong together: set both, or neither to use the environment's credentials", prefix)
		case token != "" && key == "":
			return id, fmt.Errorf("%ssession-token is set without %[1]saccess-key-id and %[1]ssecret-access-key: set all three", prefix)
		case key != "" && id.accessKey == "":
			id.accessKey, id.secret, id.token = key, secret, token
		}
	}
	var err error
	id.tls, err = readTLS(props)
	return id, err
}

// config makes the SDK's configuration. Without keys it takes the environment's
// credentials: variables, the shared config files, the container or instance role.
// Share turns TLS settings, ours or that environment's (AWS_CA_BUNDLE), into the
// HTTP client to use.
func (id awsIdentity) config(ctx context.Context, defaultRegion string, share func(tlsFiles, *tls.Config) *http.Client) (aws.Config, error) {
	ours, err := id.tls.config()
	if err != nil {
		return aws.Config{}, err
	}
	own := awshttp.NewBuildableClient()
	opts := []func(*config.LoadOptions) error{config.WithHTTPClient(own)}
	if id.region != "" {
		opts = append(opts, config.WithRegion(id.region))
	} else if defaultRegion != "" {
		opts = append(opts, config.WithDefaultRegion(defaultRegion))
	}
	if id.accessKey != "" {
		opts = append(opts, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(id.accessKey, id.secret, id.token)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return cfg, fmt.Errorf("load AWS configuration: %w", err)
	}
	if ours == nil {
		if adjusted, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
			own = adjusted
		}
		ours = own.GetTransport().TLSClientConfig
	}
	cfg.HTTPClient = share(id.tls, ours)
	if id.roleARN != "" {
		id.assumeRole(&cfg)
	}
	if cfg.Region == "" {
		return cfg, errors.New("no AWS region: set client.region (or AWS_REGION)")
	}
	return cfg, nil
}

func (id awsIdentity) assumeRole(cfg *aws.Config) {
	from := cfg.Copy()
	if id.roleRegion != "" {
		from.Region = id.roleRegion
	}
	cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(from), id.roleARN, func(a *stscreds.AssumeRoleOptions) {
		if id.roleSession != "" {
			a.RoleSessionName = id.roleSession
		}
		if id.roleExternal != "" {
			a.ExternalID = aws.String(id.roleExternal)
		}
	}))
}

// AWS makes the configuration with which a service of AWS other than S3 is called:
// "glue", or "rest" for a REST catalog that takes signed requests. See parseAWS for
// the keys.
func AWS(ctx context.Context, props map[string]string, service string) (aws.Config, error) {
	id, err := parseAWS(props, service)
	if err != nil {
		return aws.Config{}, err
	}
	return id.config(ctx, "", process().shared)
}
