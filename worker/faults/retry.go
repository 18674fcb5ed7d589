package faults

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/firn-io/firn/connect"
)

// retryDelayMin is RetryWithToleranceOperator.RETRIES_DELAY_MIN_MS.
const retryDelayMin = 300 * time.Millisecond

// outageTimeout is how long an outage is waited for, if errors.retry.timeout is not longer.
const outageTimeout = 10 * time.Minute

// A Trial is the retry state of one operation on one record. Its zero value is a first try.
type Trial struct {
	began time.Time
	tries int
}

func retriable(err error) bool {
	_, ok := errors.AsType[*connect.RetryError](err)
	return ok
}

// stops tells whether err ends the task whatever errors.tolerance says.
func stops(err error) bool {
	if e, ok := errors.AsType[*connect.RetryError](err); ok && e.Outage {
		return true
	}
	_, ok := errors.AsType[*connect.FatalError](err)
	return ok
}

// Retry tells whether the operation that failed with err may be tried again, and after
// what delay: 300 ms, doubled with each try; above errors.retry.delay.max.ms a random
// delay below that; cut at the end of errors.retry.timeout. When there is no time left,
// errors.tolerance decides as for any other failure (KAFKA-18073). An outage has ten
// minutes at least.
func (r *Reporter) Retry(t *Trial, now time.Time, err error) (delay time.Duration, again bool) {
	e, ok := errors.AsType[*connect.RetryError](err)
	if !ok {
		return 0, false
	}
	timeout := r.cfg.RetryTimeout
	if e.Outage && timeout >= 0 {
		timeout = max(timeout, outageTimeout)
	}
	r.stats.Failures.Add(1)
	if t.tries == 0 {
		t.began = now
	}
	t.tries++
	left := timeout - now.Sub(t.began)
	if timeout >= 0 && left <= 0 {
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
	if timeout >= 0 {
		delay = min(delay, left)
	}
	return delay, true
}
