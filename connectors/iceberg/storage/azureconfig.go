package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// azureOptions are the properties of Java's ADLSFileIO, of PyIceberg and of iceberg-go
// that this build understands. It is comparable: equal options share clients.
type azureOptions struct {
	lease    *Lease // lends SAS tokens; nil: the properties tell who we are
	props    string // adls.* in order, without what a lease lends
	partSize int
	retry    s3Retry
	tls      tlsFiles
}

// parseAzure reads the adls.* properties.
func parseAzure(props map[string]string, lease *Lease) (o azureOptions, err error) {
	o = azureOptions{lease: lease, partSize: defaultPartBytes}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(props)) {
		if lent := lease != nil && (strings.HasPrefix(key, "adls.sas-token") || key == "adls.token"); strings.HasPrefix(key, "adls.") && !lent {
			fmt.Fprintf(&text, "%q=%q\n", key, props[key])
		}
	}
	o.props = text.String()
	name, key := props["adls.auth.shared-key.account.name"], props["adls.auth.shared-key.account.key"]
	if (name == "") != (key == "") {
		return o, errors.New("adls.auth.shared-key.account.name and adls.auth.shared-key.account.key belong together: set both")
	}
	if secret := props["adls.client-secret"]; secret != "" && (props["adls.client-id"] == "" || props["adls.tenant-id"] == "") {
		return o, errors.New("adls.client-secret needs adls.client-id and adls.tenant-id: set all three")
	}
	if text := props["adls.write.block-size-bytes"]; text != "" {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 || n > maxPartBytes {
			return o, fmt.Errorf("adls.write.block-size-bytes %q: want 1 to %d bytes", text, maxPartBytes)
		}
		o.partSize = n
	}
	if o.retry, err = parseRetry(props); err != nil {
		return o, err
	}
	o.tls, err = readTLS(props)
	return o, err
}

// azure finds or makes the storage of abfs://, abfss://, wasb:// and wasbs:// locations.
func (c *clients) azure(props map[string]string, lease *Lease) (FileIO, error) {
	opts, err := parseAzure(props, lease)
	if err != nil {
		return nil, err
	}
	return c.cached(opts, func() (FileIO, error) {
		trust, err := opts.tls.config()
		if err != nil {
			return nil, err
		}
		a := &Azure{opts: opts, props: maps.Clone(props), http: c.shared(opts.tls, trust), retries: noRetries, containers: map[string]*container.Client{}}
		if opts.retry.retries > 0 {
			a.retries = int32(opts.retry.retries) //nolint:gosec // at most maxRetries
		}
		return a, nil
	})
}

// An azureLocation is an object in a container of a storage account.
type azureLocation struct {
	host      string // account.dfs.core.windows.net, as locations and properties have it
	container string
	key       string
}

// account is the first label of the host.
func (l azureLocation) account() string {
	name, _, _ := strings.Cut(l.host, ".")
	return name
}

// cutAzure takes abfss://container@account.dfs.core.windows.net/key apart. Keys are
// taken as written: nothing is decoded, as in Java's ADLSLocation.
func cutAzure(location string) (azureLocation, error) {
	scheme, rest, ok := strings.Cut(location, "://")
	switch strings.ToLower(scheme) {
	case "abfs", "abfss", "wasb", "wasbs":
	default:
		ok = false
	}
	authority, key, _ := strings.Cut(rest, "/")
	name, host, at := strings.Cut(authority, "@")
	if !ok || !at || name == "" || host == "" || strings.ContainsAny(authority, "?#") {
		return azureLocation{}, fmt.Errorf("location %q: want abfss://container@account.dfs.core.windows.net/path", location)
	}
	return azureLocation{host, name, key}, nil
}

// client makes the client of a container. Who we are is said by, in this order: what the
// catalog lends, a shared key, a SAS token for the account, a bearer token, a client
// secret, a managed identity, the environment.
func (a *Azure) client(l azureLocation) (*container.Client, error) {
	account := func(prefix string) string {
		for _, name := range []string{l.host, l.account()} {
			if v := a.props[prefix+name]; v != "" {
				return v
			}
		}
		return ""
	}
	// Blobs are had at the blob endpoint of the account, with hierarchical namespace too.
	base := "https://" + strings.Replace(l.host, ".dfs.", ".blob.", 1)
	opts := container.ClientOptions{ClientOptions: policy.ClientOptions{
		Transport: a.http,
		Retry:     policy.RetryOptions{MaxRetries: a.retries, RetryDelay: max(a.opts.retry.minWait, time.Millisecond), MaxRetryDelay: max(a.opts.retry.maxWait, time.Millisecond)},
	}}
	if endpoint := account("adls.connection-string."); strings.Contains(endpoint, "AccountKey=") || strings.Contains(endpoint, "SharedAccessSignature=") {
		return container.NewClientFromConnectionString(endpoint, l.container, &opts)
	} else if endpoint != "" { // Java takes this property for an address
		if !strings.Contains(endpoint, "://") {
			endpoint = "https://" + endpoint
		}
		base = strings.TrimRight(endpoint, "/")
	}
	address := base + "/" + url.PathEscape(l.container)
	sas := func(token func(context.Context) (string, error)) (*container.Client, error) {
		opts.PerRetryPolicies = append(opts.PerRetryPolicies, sasPolicy{token})
		return container.NewClientWithNoCredential(address, &opts)
	}
	switch {
	case a.opts.lease != nil:
		return sas(func(ctx context.Context) (string, error) {
			props, _, err := a.opts.lease.current(ctx)
			if err != nil {
				return "", err
			}
			for _, name := range []string{l.host, l.account()} {
				if token := props["adls.sas-token."+name]; token != "" {
					return token, nil
				}
			}
			return "", fmt.Errorf("the catalog lends no adls.sas-token for %s", l.host)
		})
	case a.props["adls.auth.shared-key.account.name"] != "":
		key, err := container.NewSharedKeyCredential(a.props["adls.auth.shared-key.account.name"], a.props["adls.auth.shared-key.account.key"])
		if err != nil {
			return nil, errors.New("adls.auth.shared-key.account.key is no key: it is base64 text") // its error may quote the key
		}
		return container.NewClientWithSharedKeyCredential(address, key, &opts)
	}
	if token := account("adls.sas-token."); token != "" {
		return sas(func(context.Context) (string, error) { return token, nil })
	}
	credential, err := a.credential(opts.ClientOptions)
	if err != nil {
		return nil, err
	}
	return container.NewClient(address, credential, &opts)
}

// credential is who we are to Entra ID.
func (a *Azure) credential(opts policy.ClientOptions) (azcore.TokenCredential, error) {
	id := a.props["adls.client-id"]
	switch {
	case a.props["adls.token"] != "":
		return fixedToken(a.props["adls.token"]), nil
	case a.props["adls.client-secret"] != "":
		return azidentity.NewClientSecretCredential(a.props["adls.tenant-id"], id, a.props["adls.client-secret"], &azidentity.ClientSecretCredentialOptions{ClientOptions: opts})
	case strings.EqualFold(a.props["adls.auth.managed-identity.enabled"], "true"):
		managed := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: opts}
		if id != "" {
			managed.ID = azidentity.ClientID(id)
		}
		return azidentity.NewManagedIdentityCredential(managed)
	}
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: opts})
}

// fixedToken is a bearer token that is not renewed.
type fixedToken string

// GetToken implements [azcore.TokenCredential].
func (t fixedToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(unknownLife)}, nil
}

// A sasPolicy adds the SAS token of the moment to each request.
type sasPolicy struct {
	token func(context.Context) (string, error)
}

// Do implements [policy.Policy].
func (p sasPolicy) Do(r *policy.Request) (*http.Response, error) {
	token, err := p.token(r.Raw().Context())
	if err != nil {
		return nil, err
	}
	query := r.Raw().URL.RawQuery
	if query != "" {
		query += "&"
	}
	r.Raw().URL.RawQuery = query + strings.TrimPrefix(token, "?")
	return r.Next()
}
