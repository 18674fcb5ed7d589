package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/IBM/sarama"
)

// Errors that callers tell apart.
var (
	ErrTopicExists    = errors.New("topic exists already")
	ErrUnknownTopic   = errors.New("topic or partition does not exist")
	ErrUnauthorized   = errors.New("not authorized")
	ErrGroupInUse     = errors.New("the group has members")
	ErrUnknownGroup   = errors.New("the group does not exist")
	ErrRebalancing    = errors.New("the group rebalances")
	ErrRecordTooLarge = errors.New("record too large")
	ErrClosed         = errors.New("client is closed")
	ErrRival          = errors.New("another member has joined under the same group.instance.id: each needs one of its own, also those of other programs")
)

// Codes without a name in sarama.
const (
	errUnknownTopicID      sarama.KError = 100 // UNKNOWN_TOPIC_ID
	errInconsistentTopicID sarama.KError = 103 // INCONSISTENT_TOPIC_ID
)

// failure makes an error of an answer's error code: nil for none, and one that wraps
// an Err… of ours where there is one.
func failure(code sarama.KError) error {
	switch code { //nolint:exhaustive // Kafka has more than a hundred codes
	case sarama.ErrNoError: // a non-nil error otherwise
		return nil
	case sarama.ErrTopicAlreadyExists:
		return ErrTopicExists
	case sarama.ErrUnknownTopicOrPartition, errUnknownTopicID:
		return unknownTopicError{code}
	case sarama.ErrTopicAuthorizationFailed, sarama.ErrGroupAuthorizationFailed, sarama.ErrClusterAuthorizationFailed,
		sarama.ErrTransactionalIDAuthorizationFailed, sarama.ErrSASLAuthenticationFailed:
		return fmt.Errorf("%w: %w", ErrUnauthorized, code)
	case sarama.ErrNonEmptyGroup, sarama.ErrGroupSubscribedToTopic:
		return ErrGroupInUse
	case sarama.ErrGroupIDNotFound:
		return ErrUnknownGroup
	case sarama.ErrFencedInstancedId:
		return fmt.Errorf("%w: %w", ErrRival, code)
	case sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge:
		return fmt.Errorf("%w: %w", ErrRecordTooLarge, code)
	}
	return code
}

// unknownTopicError reads as our error, and still carries the code for retriable.
type unknownTopicError struct{ code sarama.KError }

func (unknownTopicError) Error() string     { return ErrUnknownTopic.Error() }
func (e unknownTopicError) Unwrap() []error { return []error{ErrUnknownTopic, e.code} }

// A finalError is not worth another try, whatever it wraps.
type finalError struct{ error }

func (f finalError) Unwrap() error { return f.error }

// retriable tells whether the same request may succeed later: Kafka's
// RetriableException, and everything that goes wrong on the way to a broker.
func retriable(err error) bool {
	if _, ok := errors.AsType[finalError](err); ok {
		return false
	}
	if code, ok := errors.AsType[sarama.KError](err); ok {
		return retriableCode(code)
	}
	if _, ok := errors.AsType[sarama.PacketDecodingError](err); ok {
		return false
	}
	if _, ok := errors.AsType[sarama.PacketEncodingError](err); ok {
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	switch {
	case errors.Is(err, ErrTopicExists), errors.Is(err, ErrGroupInUse), errors.Is(err, ErrUnknownGroup), errors.Is(err, ErrClosed),
		errors.Is(err, sarama.ErrUnsupportedVersion), errors.Is(err, errScram):
		return false
	}
	return true
}

func retriableCode(code sarama.KError) bool {
	switch code { //nolint:exhaustive // Kafka has more than a hundred codes
	case sarama.ErrInvalidMessage, // CORRUPT_MESSAGE: the bytes may arrive whole next time
		sarama.ErrUnknownTopicOrPartition, sarama.ErrLeaderNotAvailable, sarama.ErrNotLeaderForPartition, sarama.ErrRequestTimedOut,
		sarama.ErrBrokerNotAvailable, sarama.ErrReplicaNotAvailable, sarama.ErrNetworkException,
		sarama.ErrOffsetsLoadInProgress, sarama.ErrConsumerCoordinatorNotAvailable, sarama.ErrNotCoordinatorForConsumer,
		sarama.ErrNotEnoughReplicas, sarama.ErrNotEnoughReplicasAfterAppend, sarama.ErrNotController,
		sarama.ErrKafkaStorageError, sarama.ErrListenerNotFound, sarama.ErrFencedLeaderEpoch, sarama.ErrUnknownLeaderEpoch,
		sarama.ErrOffsetNotAvailable, sarama.ErrPreferredLeaderNotAvailable, sarama.ErrEligibleLeadersNotAvailable,
		sarama.ErrUnstableOffsetCommit, sarama.ErrThrottlingQuotaExceeded, sarama.ErrConcurrentTransactions,
		errUnknownTopicID, errInconsistentTopicID:
		return true
	}
	return false
}

// fenced tells whether err says that a member id and generation are over.
func fenced(err error) bool {
	return errors.Is(err, sarama.ErrUnknownMemberId) || errors.Is(err, sarama.ErrIllegalGeneration) ||
		errors.Is(err, sarama.ErrRebalanceInProgress) || errors.Is(err, sarama.ErrFencedInstancedId)
}

// answered tells whether err came from a broker, so that the connection is sound.
func answered(err error) bool {
	_, ok := errors.AsType[sarama.KError](err)
	return ok
}

// pause is how long to wait after a number of failures in a row: retry.backoff.ms,
// doubled each time up to retry.backoff.max.ms, give or take a fifth.
func (c *Config) pause(failures int) time.Duration {
	d := c.retryBackoff
	for range min(failures-1, 20) {
		d = min(2*d, c.retryBackoffMax)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// retry calls try until it succeeds, fails for good, or default.api.timeout.ms has
// passed. Each try has request.timeout.ms.
func (c *Config) retry(ctx context.Context, try func(context.Context) error) error {
	all, cancel := context.WithTimeout(ctx, c.apiTimeout)
	defer cancel()
	for failures := 1; ; failures++ {
		one, done := context.WithTimeout(all, c.requestTimeout)
		err := try(one)
		done()
		if err == nil || !retriable(err) {
			return err
		}
		if !sleep(all, c.pause(failures)) {
			if ctx.Err() != nil {
				return fmt.Errorf("%w; last: %w", ctx.Err(), err)
			}
			return fmt.Errorf("gave up after %v: %w", c.apiTimeout, err)
		}
	}
}

// sleep waits for d and tells whether ctx still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
