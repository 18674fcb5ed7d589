package datafile

import (
	"context"
	"log/slog"
	"slices"

	"github.com/apache/iceberg-go"
)

// A Pending is what one Seal has closed: complete files on their way to storage.
// Its methods may be called from any goroutine, one at a time.
type Pending struct {
	files   []sealed
	dropped []*upload // of files that a failure left incomplete
	rows    int64
	err     error // the writer had failed before
	logger  *slog.Logger
}

// A sealed file is encoded; its upload may still go on.
type sealed struct {
	upload *upload
	file   iceberg.DataFile
}

// Rows is the number of rows in the files.
func (p *Pending) Rows() int64 { return p.rows }

// Wait returns the files once all are stored. On an error, of storage or of ctx, no
// file may be announced: the caller may Wait again if it was ctx, or must Discard.
func (p *Pending) Wait(ctx context.Context) ([]iceberg.DataFile, error) {
	if p.err != nil {
		return nil, p.err
	}
	files := make([]iceberg.DataFile, 0, len(p.files))
	for _, f := range p.files {
		select {
		case <-f.upload.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := f.upload.result(); err != nil {
			return nil, err
		}
		files = append(files, f.file)
	}
	return files, nil
}

// Discard stops uploads and deletes what is stored. Only for files that were never
// announced. What it cannot delete is logged and left to the removal of orphans.
func (p *Pending) Discard(ctx context.Context) {
	uploads := slices.Clone(p.dropped)
	for _, f := range p.files {
		uploads = append(uploads, f.upload)
	}
	discard(ctx, uploads, p.logger)
}

// discard drops uploads, waits for their goroutines and removes their files.
func discard(ctx context.Context, uploads []*upload, logger *slog.Logger) {
	for _, u := range uploads {
		u.drop()
	}
	for _, u := range uploads {
		select {
		case <-u.done:
		case <-ctx.Done():
			logger.Warn("leave data file to the removal of orphans: its upload does not end", "path", u.path)
			continue
		}
		if err := u.remove(ctx); err != nil {
			logger.Warn("leave data file to the removal of orphans: it cannot be deleted", "path", u.path, "err", err)
		}
	}
}
