package storage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/aws/smithy-go"
)

// Advice says what an operator can do about an error of a storage or of a connection,
// in a few words; "" when it does not know.
func Advice(err error) string {
	if text := adviseTLS(err); text != "" {
		return text
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		if text, ok := awsAdvice[api.ErrorCode()]; ok {
			return text
		}
	}
	if fault, ok := errors.AsType[*azureAnswerError](err); ok {
		if text, ok := azureAdvice[fault.code]; ok {
			return text
		}
	}
	switch status(err) {
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect:
		return awsAdvice["PermanentRedirect"]
	case http.StatusForbidden:
		return awsAdvice["AccessDenied"]
	}
	switch {
	case strings.Contains(err.Error(), "failed to refresh cached credentials"), strings.Contains(err.Error(), "get credentials"): // the SDK has no type for it
		return "no credentials were found: set client.access-key-id and client.secret-access-key, or give the process a role"
	case errors.Is(err, ErrExpired):
		return "the catalog must lend fresh credentials"
	case errors.Is(err, fs.ErrPermission):
		return "allow this user to list, read, write and delete there"
	}
	return adviseNetwork(err)
}

// Refused tells whether a store has said that these credentials may not: then waiting does
// not help, unlike with credentials that have expired and are about to be renewed.
func Refused(err error) bool {
	if errors.Is(err, ErrExpired) {
		return false
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "ExpiredToken", "ExpiredTokenException":
			return false
		case "AuthenticationRequired", "InvalidAccessKeyId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "InvalidToken":
			return true
		}
	}
	code := status(err)
	return code == http.StatusUnauthorized || code == http.StatusForbidden || errors.Is(err, fs.ErrPermission)
}

// awsAdvice is by error code. (Source: "Error responses" of the S3 API reference.)
var awsAdvice = map[string]string{
	"AuthenticationRequired":             "Google does not accept the token: check gcs.oauth2.token, gcs.keypath or the process's own credentials",
	"InvalidAccessKeyId":                 "the store does not know this access key: check the access-key-id, and s3.endpoint if the store is not AWS",
	"UnrecognizedClientException":        "AWS does not know this access key: check the access-key-id",
	"SignatureDoesNotMatch":              "the secret does not fit the access key: check the secret-access-key",
	"InvalidSignatureException":          "the secret does not fit the access key: check the secret-access-key",
	"InvalidToken":                       "the session token does not fit the access key: set all three anew",
	"ExpiredToken":                       "the session token has expired: set a new one, or use a role",
	"ExpiredTokenException":              "the session token has expired: set a new one, or use a role",
	"AccessDenied":                       "these credentials may not do this here: allow s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload; on Google the role Storage Object User",
	"AccessDeniedException":              "these credentials may not do this: extend the policy of the user or role",
	"NoSuchBucket":                       "the bucket does not exist: create it, or correct the warehouse",
	"PermanentRedirect":                  "the bucket is in another region: set client.region to the bucket's",
	"AuthorizationHeaderMalformed":       "the bucket is in another region: set client.region to the bucket's",
	"IllegalLocationConstraintException": "the bucket is in another region: set client.region to the bucket's",
	"RequestTimeTooSkewed":               "the clock of this machine is wrong: set it",
	"InvalidBucketName":                  "the store takes the bucket from the path: set s3.path-style-access=true",
}

func adviseTLS(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the server's certificate is signed by an authority that is not trusted here: set ssl.cabundle to that authority's PEM file"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the server's certificate is for another name: use that name in the address"
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "the server's certificate is not valid now or not for servers: renew it, and check this machine's clock"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") { // net/http has no type for it
		return "the server does not speak TLS at this address: write http:// or another port"
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return "the server refuses the TLS connection: it may want ssl.client.cert and ssl.client.key"
	}
	return ""
}

func adviseNetwork(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "no such host: check the address; for a store that takes the bucket from the path, set s3.path-style-access=true"
		}
		return "the name cannot be resolved now: check this machine's DNS"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check host and port"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time: check the address, firewalls and proxies (HTTPS_PROXY, NO_PROXY)"
	}
	return ""
}
