package storage

import (
	"io/fs"
	"path"
	"time"
)

// FileInfo shows the Info as io/fs wants it.
func (i Info) FileInfo() fs.FileInfo { return fileInfo(i) }

type fileInfo Info

func (i fileInfo) Name() string       { return path.Base(i.Path) }
func (i fileInfo) Size() int64        { return i.Bytes }
func (i fileInfo) Mode() fs.FileMode  { return 0 }
func (i fileInfo) ModTime() time.Time { return i.Modified }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }
