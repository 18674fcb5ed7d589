package storage

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// s3Retry is how long a store that does not answer, or answers that it is busy, is
// asked again: under Java's keys and with Java's defaults, which bridge about 40 s.
// Java waits so long only after a throttling answer; here it is after every one.
// (Source: S3FileIOProperties.applyRetryConfigurations of Iceberg 1.11.)
type s3Retry struct {
	retries          int
	minWait, maxWait time.Duration
}

const maxRetries = 100

// parseRetry reads s3.retry.num-retries, s3.retry.min-wait-ms, s3.retry.max-wait-ms.
func parseRetry(props map[string]string) (r s3Retry, err error) {
	number := func(key string, byDefault, most int64) int64 {
		text := strings.TrimSpace(props[key])
		if text == "" {
			return byDefault
		}
		n, parseErr := strconv.ParseInt(text, 10, 64)
		if (parseErr != nil || n < 0 || n > most) && err == nil {
			err = fmt.Errorf("%s %q: want 0 to %d", key, text, most)
		}
		return n
	}
	const hour = int64(time.Hour / time.Millisecond)
	r.retries = int(number("s3.retry.num-retries", 5, maxRetries))
	r.minWait = time.Duration(number("s3.retry.min-wait-ms", 2000, hour)) * time.Millisecond
	r.maxWait = time.Duration(number("s3.retry.max-wait-ms", 20_000, hour)) * time.Millisecond
	return r, err
}

// retryer is the SDK's own but for the waiting and the count. It has no budget shared
// by all requests: while a store is away every upload must outlast it.
func (r s3Retry) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = r.retries + 1
		o.RateLimiter = ratelimit.None
		o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return r.wait(attempt), nil
		})
	})
}

// wait doubles from minWait to maxWait; half of it is left to chance.
func (r s3Retry) wait(attempt int) time.Duration {
	const doublings = 20 // of a millisecond are 17 minutes
	d := min(r.minWait<<min(max(attempt, 0), doublings), r.maxWait)
	return d/2 + rand.N(d/2+1)
}
