package datafile

import (
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/firn-io/firn/connectors/iceberg/columns"
)

// A lane writes the files of one partition, one after the other. A file begins with
// its first batch of rows, so there are no empty ones.
type lane struct {
	w      *Writer
	values map[int]any      // partition values by field id of the spec; nil if unpartitioned
	rows   *columns.Columns // waiting to be encoded; nil if none ever waited

	// The file being written; enc is nil when there is none.
	enc    encoder
	path   string
	head   []byte // its first bytes, until an upload is worth while
	upload *upload
	bytes  int64

	held int64 // what the budget knows of this lane
	at   int   // its place there
}

// headBytes is how much a file gathers before its upload begins: a thousand open
// partitions are not a thousand open uploads from their first rows on.
const headBytes = 64 << 10

// maxGroups bounds the row groups of a file that memory pressure cuts.
const maxGroups = 128

// Write takes the encoder's bytes.
func (l *lane) Write(p []byte) (int, error) {
	l.bytes += int64(len(p))
	if l.upload == nil {
		if l.head = append(l.head, p...); len(l.head) < headBytes {
			return len(p), nil
		}
		return len(p), l.beginUpload()
	}
	return l.upload.Write(p)
}

func (l *lane) beginUpload() error {
	l.upload = l.w.startUpload(l.path)
	_, err := l.upload.Write(l.head)
	l.head = nil
	return err
}

// open begins a file, of which rows will be the first.
func (l *lane) open(rows *columns.Columns) error {
	if l.enc != nil {
		return nil
	}
	l.path, l.bytes, l.head, l.upload = l.w.nextPath(), 0, nil, nil
	var err error
	l.enc, err = l.w.newEncoder(rows, l)
	return err
}

// encode writes rows into the file, empties them, and ends the file when it has its
// size.
func (l *lane) encode(rows *columns.Columns) error {
	if rows.Len() == 0 {
		return nil
	}
	if err := l.open(rows); err != nil {
		return err
	}
	if err := l.enc.Add(rows); err != nil {
		return err
	}
	rows.Reset()
	if l.enc.written() >= l.w.settings.targetBytes {
		return l.close()
	}
	l.account()
	return nil
}

// relieve gives up memory: waiting rows become a row group, or the file ends.
func (l *lane) relieve() {
	if err := l.giveUp(); err != nil {
		l.w.fail(err)
		l.drop()
	}
}

func (l *lane) giveUp() error {
	rows := l.rows
	l.rows = nil
	if rows == nil || rows.Len() == 0 {
		return l.close()
	}
	if err := l.open(rows); err != nil {
		return err
	}
	if err := l.enc.Flush(rows); err != nil {
		return err
	}
	if l.enc.groups() >= maxGroups || l.enc.written() >= l.w.settings.targetBytes {
		return l.close()
	}
	l.account()
	return nil
}

// close ends the file, if there is one, and leaves it to its upload.
func (l *lane) close() error {
	if l.enc == nil {
		l.account()
		return nil
	}
	md, err := l.enc.Close()
	if err != nil {
		return err
	}
	if l.upload == nil {
		if err := l.beginUpload(); err != nil {
			return err
		}
	}
	content := iceberg.EntryContentData
	if l.w.cfg.Equality != nil {
		content = iceberg.EntryContentEqDeletes
	}
	file, err := table.DataFileFromMetadata(table.DataFileArgs{
		Schema:           l.w.cfg.Schema,
		Spec:             l.w.cfg.Spec,
		Format:           iceberg.ParquetFile,
		Metadata:         md,
		FilePath:         l.path,
		FileSize:         l.bytes,
		Content:          content,
		EqualityFieldIDs: l.w.cfg.Equality,
		PartitionValues:  l.values,
		Properties:       l.w.cfg.Properties,
		FormatVersion:    l.w.cfg.FormatVersion,
	})
	if err != nil {
		return fmt.Errorf("describe data file %s: %w", l.path, err)
	}
	l.upload.finish()
	l.w.sealed = append(l.w.sealed, sealed{l.upload, file})
	l.enc, l.upload = nil, nil
	l.account()
	return nil
}

// drop forgets the file and the waiting rows; a running upload is left to the
// writer's list.
func (l *lane) drop() {
	if l.upload != nil {
		l.w.dropped = append(l.w.dropped, l.upload)
	}
	l.enc, l.upload, l.head, l.rows = nil, nil, nil, nil
	l.account()
}

// account tells the budget what the lane holds.
func (l *lane) account() {
	held := int64(cap(l.head))
	if l.rows != nil {
		held += l.rows.Held()
	}
	if l.enc != nil {
		held += l.enc.held()
	}
	l.w.budget.hold(l, held)
}
