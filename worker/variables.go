package worker

import (
	"maps"
	"strings"
	"time"
)

// keyReload is the key of a connector that says what to do when its variables change.
const keyReload = "config.action.reload"

// watchVariables restarts u when what the variables of config stand for has changed, if the
// providers say how long it is good for and the connector does not say that nothing is to be
// done. (Java restarts the connector when the time is over, changed or not, and leaves the
// tasks as they are.) It is called before u reads them: what changes from then on is seen.
func (h *Herder) watchVariables(u *unit, config map[string]string, grace time.Duration) {
	ttl := h.cfg.providers.ttl(config)
	if ttl == 0 || strings.EqualFold(strings.TrimSpace(config[keyReload]), "none") {
		return
	}
	before, err := h.cfg.providers.resolve(config)
	h.helpers.Go(func() {
		for sleep(u.life, ttl) {
			now, nerr := h.cfg.providers.resolve(config)
			switch {
			case nerr != nil && err == nil:
				h.log.Warn("Variables cannot be looked up any more; going on with what they were", "what", u.label, "error", nerr)
			case nerr == nil && (err != nil || !maps.Equal(now, before)):
				h.log.Info("Variables have changed: restarting", "what", u.label)
				h.post(func() {
					if u.life.Err() == nil {
						u.restarting = true
						h.stop(u, grace)
					}
				})
				return
			}
		}
	})
}
