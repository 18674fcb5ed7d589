package storage

import "context"

// LentKey is the access key that a lease hands out.
func LentKey(ctx context.Context, l *Lease) (string, error) {
	c, err := lentToS3{l}.Retrieve(ctx)
	return c.AccessKeyID, err
}
