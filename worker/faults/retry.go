package faults

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/firn-io/firn/connect"
)

// retryDelayMin is RetryWithToleranceOperator.RETRIES_DELAY_MIN_MS.
const retryDelayMin = 300 * time.Millisecond

// A Trial is the retry state of one operation on one record. Its zero value is a first try.
type Trial struct {
	began time.Time
	tries int
}

func retriable(err error) bool {
	_, ok := errors.AsType[*connect.RetryError](err)
	return ok
}

// Retry tells whether the operation that failed with err may be tried again, and after
// what delay: 300 ms, doubled with each try; above errors.retry.delay.max.ms a random
// delay below that; cut at the end of errors.retry.timeout. When there is no time left,
// errors.tolerance decides as for any other failure (KAFKA-18073).
func (r *Reporter) Retry(t *Trial, now time.Time, err error) (delay time.Duration, again bool) {
	if !retriable(err) {
		return 0, false
	}
	r.stats.Failures.Add(1)
	if t.tries == 0 {
		t.began = now
	}
	t.tries++
	left := r.cfg.RetryTimeout - now.Sub(t.began)
	if r.cfg.RetryTimeout >= 0 && left <= 0 {
		return 0, false
	}
	r.stats.Retries.Add(1)
	delay = retryDelayMin << min(t.tries-1, 30)
	if delay > r.cfg.RetryDelayMax {
		delay = 0
		if r.cfg.RetryDelayMax > 0 {
			delay = rand.N(r.cfg.RetryDelayMax)
		}
	}
	if r.cfg.RetryTimeout >= 0 {
		delay = min(delay, left)
	}
	return delay, true
}
