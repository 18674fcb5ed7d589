package entities

import "context"

type authorizationKey struct{}

// WithAuthorization notes the Authorization header of a request, for what has to be asked
// of other workers to answer it.
func WithAuthorization(ctx context.Context, header string) context.Context {
	if header == "" {
		return ctx
	}
	return context.WithValue(ctx, authorizationKey{}, header)
}

// Authorization is that header, "" if there is none.
func Authorization(ctx context.Context) string {
	header, _ := ctx.Value(authorizationKey{}).(string)
	return header
}
