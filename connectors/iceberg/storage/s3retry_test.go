package storage

import (
	"testing"
	"time"
)

func TestS3RetryKeys(t *testing.T) {
	ms := time.Millisecond
	tests := []struct {
		props map[string]string
		want  s3Retry
		ok    bool
	}{
		{nil, s3Retry{5, 2000 * ms, 20_000 * ms}, true},
		{map[string]string{"s3.retry.num-retries": "0", "s3.retry.min-wait-ms": " 7 ", "s3.retry.max-wait-ms": "9"}, s3Retry{0, 7 * ms, 9 * ms}, true},
		{map[string]string{"s3.retry.num-retries": "101"}, s3Retry{}, false},
		{map[string]string{"s3.retry.min-wait-ms": "-1"}, s3Retry{}, false},
		{map[string]string{"s3.retry.max-wait-ms": "2s"}, s3Retry{}, false},
	}
	for _, tt := range tests {
		got, err := parseRetry(tt.props)
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("%v: got %+v, %v; want %+v, ok %v", tt.props, got, err, tt.want, tt.ok)
		}
	}
}

func TestS3RetryWaits(t *testing.T) {
	r := s3Retry{5, 2 * time.Second, 20 * time.Second}
	for attempt, seconds := range []int{2, 4, 8, 16, 20, 20} {
		most := time.Duration(seconds) * time.Second
		if got := r.wait(attempt); got < most/2 || got > most {
			t.Errorf("attempt %d: waits %s, want %s to %s", attempt, got, most/2, most)
		}
	}
	if got := (s3Retry{maxRetries, time.Hour, time.Hour}).wait(1 << 40); got < 30*time.Minute || got > time.Hour {
		t.Errorf("a late attempt waits %s", got)
	}
	if got := (s3Retry{}).wait(3); got != 0 {
		t.Errorf("without a wait: %s", got)
	}
}
