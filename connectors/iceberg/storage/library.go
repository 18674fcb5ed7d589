package storage

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"strings"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// iceberg-go makes file systems from the catalog's properties with those of the table
// laid over them, so that whoever may set a property of a table could have its files
// written to a store of their own (s3.endpoint), or under other credentials. Java
// takes none from the table. What follows lets catalogs say which to use.

type pinnedKey struct{}

// Pin returns a context in which the file systems that iceberg-go makes are those of
// props, whatever the table says.
func Pin(ctx context.Context, props map[string]string) context.Context {
	return context.WithValue(ctx, pinnedKey{}, props)
}

type describingKey struct{}

// Properties tells what properties iceberg-go would make a file system from, without
// making it.
func Properties(ctx context.Context, load table.FSysF) (map[string]string, error) {
	fsys, err := load(context.WithValue(ctx, describingKey{}, true))
	if err != nil {
		return nil, err
	}
	d, ok := fsys.(described)
	if !ok {
		return nil, fmt.Errorf("file system is a %T, not one of this build", fsys)
	}
	return maps.Clone(d.props), nil
}

// Decides tells whether a property says where or as whom files are written.
func Decides(key string) bool {
	for _, prefix := range []string{"s3.", "client.", "gcs.", "adls.", "ssl."} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// forLibrary is what iceberg-go's registry calls.
func (c *clients) forLibrary(ctx context.Context, location *url.URL, props map[string]string) (icebergio.IO, error) {
	if ctx.Value(describingKey{}) != nil {
		return described{props}, nil
	}
	if pinned, ok := ctx.Value(pinnedKey{}).(map[string]string); ok {
		props = pinned
	}
	files, err := c.open(ctx, props, location.Scheme+"://", nil)
	if err != nil {
		return nil, err
	}
	return Bind(ctx, files), nil
}

// described stands where a file system would be.
type described struct{ props map[string]string }

func (described) Open(name string) (icebergio.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
}

func (described) Remove(name string) error {
	return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
}
