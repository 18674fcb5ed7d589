package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"
)

// A Step is one thing that a self-test tried.
type Step struct {
	Name   string // what was tried, where
	Needed bool   // the sink cannot work without it
	Took   time.Duration
	Err    error  // nil: it works
	Advice string // what the operator can do about Err; may be empty
}

// A Report is the outcome of a self-test, in the order of its steps; what could not be
// tried after a failure is not in it.
type Report []Step

// Err is the first failure of a step that is needed: one line, with the remedy.
func (r Report) Err() error {
	for _, s := range r {
		if s.Needed && s.Err != nil {
			return s.err()
		}
	}
	return nil
}

// Warnings are the failures of steps that the sink can do without.
func (r Report) Warnings() (all []error) {
	for _, s := range r {
		if !s.Needed && s.Err != nil {
			all = append(all, s.err())
		}
	}
	return all
}

func (s Step) err() error {
	if s.Advice == "" {
		return fmt.Errorf("%s: %w", s.Name, s.Err)
	}
	return fmt.Errorf("%s: %w (%s)", s.Name, s.Err, s.Advice)
}

// String has one line for each step.
func (r Report) String() string {
	var b strings.Builder
	for _, s := range r {
		outcome := "ok"
		switch {
		case s.Err != nil && s.Needed:
			outcome = "FAILED"
		case s.Err != nil:
			outcome = "warning"
		}
		fmt.Fprintf(&b, "%-7s %s (%d ms)", outcome, s.Name, s.Took.Milliseconds())
		if s.Err != nil {
			fmt.Fprintf(&b, ": %v", s.Err)
		}
		if s.Advice != "" {
			fmt.Fprintf(&b, " (%s)", s.Advice)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Try adds a step that runs f, and tells whether it worked.
func (r *Report) Try(name string, needed bool, advise func(error) string, f func() error) bool {
	began := time.Now()
	err := f()
	s := Step{Name: name, Needed: needed, Took: time.Since(began)}
	if err != nil {
		s.Err, s.Advice = brief(err), advise(err)
	}
	*r = append(*r, s)
	return err == nil
}

// A briefError is an error in fewer words.
type briefError struct {
	text string
	err  error
}

func (e *briefError) Error() string { return e.text }
func (e *briefError) Unwrap() error { return e.err }

// maxBriefBytes bounds what a server's own words may add to a report.
const maxBriefBytes = 400

// brief leaves out what the name of the step says already, and the numbers of requests.
func brief(err error) error {
	text := err.Error()
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text = api.ErrorCode() + ": " + api.ErrorMessage()
	} else if failed, ok := errors.AsType[*url.Error](err); ok {
		text = failed.Err.Error()
	}
	text = strings.Join(strings.Fields(text), " ")
	return &briefError{text[:min(len(text), maxBriefBytes)], err}
}

// cleanUpGrace bounds the deletion of the test's file after its context has ended.
const cleanUpGrace = 2 * time.Second

// SelfTest lists, creates, reads and deletes under dir as the sink does, each request
// once, and leaves nothing behind; if it must, the report names the file. Listing and
// deleting are not needed: the sink writes without them, and cannot clean up.
func SelfTest(ctx context.Context, files FileIO, dir string) Report {
	var r Report
	files = once(files)
	file := strings.TrimRight(dir, "/") + "/firn-self-test-" + uuid.NewString()
	content := []byte("written by the self-test of a connector; safe to delete\n")
	restore := emptyDirectories(files, dir)
	defer restore()
	r.Try("list "+dir, false, Advice, func() error {
		for _, err := range files.List(ctx, dir) {
			return err // one is enough
		}
		return nil
	})
	wrote := r.Try("create "+file, true, Advice, func() error {
		w, err := files.Create(ctx, file)
		if err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return errors.Join(err, w.Abort())
		}
		return w.Close()
	})
	if wrote {
		r.Try("read "+file, true, Advice, func() error {
			got, err := files.ReadFile(ctx, file)
			if err == nil && !bytes.Equal(got, content) {
				err = fmt.Errorf("%d bytes are not the %d that were written", len(got), len(content))
			}
			return err
		})
	}
	// A create whose reply was lost may have landed, so deletion is tried after any.
	remove := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpGrace)
		defer cancel()
		return files.Remove(ctx, file)
	}
	if wrote {
		r.Try("delete "+file, false, Advice, remove)
	} else {
		_ = remove() // the create's error is the one to tell
	}
	return r
}

// once is the same storage without retries: a self-test tells at once what is wrong.
func once(files FileIO) FileIO {
	switch s := files.(type) {
	case *Azure:
		return s.once()
	case *S3:
		return &S3{client: s3.New(s.client.Options(), func(o *s3.Options) { o.Retryer = aws.NopRetryer{} }), opts: s.opts, google: s.google}
	}
	return files
}

// emptyDirectories returns what removes the local directories that the test has made.
func emptyDirectories(files FileIO, dir string) (restore func()) {
	path, err := localPath(dir)
	if _, local := files.(Local); !local || err != nil {
		return func() {}
	}
	var missing []string
	for p := path; ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, p)
	}
	return func() {
		for _, p := range missing {
			_ = os.Remove(p) // fails when somebody else has put something there
		}
	}
}
