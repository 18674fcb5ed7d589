package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"github.com/firn-io/firn/connect"
)

// A veil puts variables back into texts in place of what config providers gave for them,
// which is often a secret: into traces, errors and log lines of connectors. Nil hides
// nothing, at no cost.
type veil struct {
	replace *strings.Replacer
	secrets map[string]string // what a variable stands for -> the variable
}

// shortSecret is the length below which a value is not looked for: it is no secret worth the
// name, and text would become unreadable.
const shortSecret = 4

// newVeil hides the values of variables; nil if there are none.
func newVeil(values map[string]string) *veil {
	v := &veil{secrets: map[string]string{}}
	var pairs []string
	for ref, value := range values {
		v.secrets[value] = ref
		for _, form := range []string{value, strings.TrimSpace(value), url.QueryEscape(value), url.PathEscape(value), strings.Trim(fmt.Sprintf("%q", value), `"`)} {
			if len(form) >= shortSecret {
				pairs = append(pairs, form, ref)
			}
		}
	}
	if len(pairs) == 0 {
		return nil
	}
	v.replace = strings.NewReplacer(pairs...)
	return v
}

func (v *veil) text(s string) string {
	if v == nil {
		return s
	}
	return v.replace.Replace(s)
}

// err is the error itself unless its text says too much.
func (v *veil) err(err error) error {
	if v == nil || err == nil {
		return err
	}
	if said := err.Error(); v.text(said) != said {
		return errors.New(v.text(said))
	}
	return err
}

// configErrors veils the messages in place.
func (v *veil) configErrors(errs []connect.ConfigError) {
	for i := range errs {
		errs[i].Message = v.text(errs[i].Message)
	}
}

// logger is log behind the veil.
func (v *veil) logger(log *slog.Logger) *slog.Logger {
	if v == nil {
		return log
	}
	return slog.New(veiled{log.Handler(), v})
}

// veiled is a slog.Handler.
type veiled struct {
	slog.Handler
	veil *veil
}

func (h veiled) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, h.veil.text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.attr(a))
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h veiled) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = h.attr(a)
	}
	return veiled{h.Handler.WithAttrs(out), h.veil}
}

func (h veiled) WithGroup(name string) slog.Handler {
	return veiled{h.Handler.WithGroup(name), h.veil}
}

// attr veils texts, and whatever has a text that says too much.
func (h veiled) attr(a slog.Attr) slog.Attr {
	value := a.Value.Resolve()
	kind := value.Kind()
	if kind == slog.KindGroup {
		var inner []any
		for _, g := range value.Group() {
			inner = append(inner, h.attr(g))
		}
		return slog.Group(a.Key, inner...)
	}
	if kind == slog.KindString || kind == slog.KindAny {
		if said := value.String(); h.veil.text(said) != said {
			return slog.String(a.Key, h.veil.text(said))
		}
	}
	return slog.Attr{Key: a.Key, Value: value}
}
