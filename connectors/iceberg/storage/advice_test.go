package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"testing"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/aws/smithy-go"
)

func TestRefused(t *testing.T) {
	code := func(c string) error { return fmt.Errorf("put: %w", &smithy.GenericAPIError{Code: c}) }
	answered := func(status int, err error) error {
		return &smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err}
	}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{code("SignatureDoesNotMatch"), true},
		{code("InvalidAccessKeyId"), true},
		{s3Error("put", "s3://b/k", code("AccessDenied")), true},
		{answered(http.StatusForbidden, code("Something")), true},
		{answered(http.StatusUnauthorized, errors.New("no body")), true},
		{&fs.PathError{Op: "open", Path: "/lake", Err: fs.ErrPermission}, true},

		{answered(http.StatusForbidden, code("ExpiredToken")), false},
		{fmt.Errorf("%w: %w", ErrExpired, fs.ErrPermission), false},
		{answered(http.StatusServiceUnavailable, code("SlowDown")), false},
		{answered(http.StatusNotFound, code("NoSuchBucket")), false},
		{errors.New("connection refused"), false},
	} {
		if got := Refused(test.err); got != test.want {
			t.Errorf("%v: %t", test.err, got)
		}
	}
}
