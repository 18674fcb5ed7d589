package worker

import (
	"context"
	"maps"
	"slices"

	"github.com/firn-io/firn/connect/entities"
	"github.com/firn-io/firn/worker/loglevel"
	"github.com/firn-io/firn/worker/topics"
)

// Loggers are the levels of all loggers of this worker.
func (h *Herder) Loggers() map[string]entities.LoggerLevel {
	out := map[string]entities.LoggerLevel{}
	for name, level := range h.levels.All() {
		out[name] = loggerLevel(level)
	}
	return out
}

// Logger is the level of one logger of this worker.
func (h *Herder) Logger(name string) (*entities.LoggerLevel, error) {
	level, ok := h.levels.Of(name)
	if !ok {
		return nil, entities.NotFound("Logger " + name + " not found.")
	}
	answer := loggerLevel(level)
	return &answer, nil
}

func loggerLevel(l loglevel.Level) entities.LoggerLevel {
	answer := entities.LoggerLevel{Level: l.Name}
	if !l.Modified.IsZero() {
		ms := l.Modified.UnixMilli()
		answer.LastModified = &ms
	}
	return answer
}

// SetLogger sets the level of a logger, and of those whose names begin with its name, on
// this worker. It returns the names of those that had another one.
func (h *Herder) SetLogger(name, level string) ([]string, error) {
	parsed, ok := loglevel.Parse(level)
	if !ok {
		return nil, entities.NotFound("invalid log level '" + level + "'.")
	}
	changed, err := h.levels.Set(name, parsed)
	if err != nil {
		return nil, entities.BadRequest(err.Error())
	}
	h.log.Info("Log level set", "logger", name, "level", level)
	return changed, nil
}

// SetClusterLogger has every worker do so, as soon as it reads it from the config topic.
func (h *Herder) SetClusterLogger(ctx context.Context, name, level string) error {
	if _, ok := loglevel.Parse(level); !ok {
		return entities.NotFound("invalid log level '" + level + "'.")
	}
	if err := h.loaded(ctx); err != nil {
		return err
	}
	return h.configs.PutLevel(ctx, name, level)
}

// setLevels takes over what was set for all workers.
func (h *Herder) setLevels(c topics.Changes) {
	for _, name := range slices.Sorted(maps.Keys(c.Levels)) {
		if _, err := h.SetLogger(name, c.Levels[name]); err != nil {
			h.log.Warn("Log level of the config topic not set", "logger", name, "error", err)
		}
	}
}
