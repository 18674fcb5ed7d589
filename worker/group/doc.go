// Package group makes a worker part of a worker group: Kafka's group membership with
// protocol type "connect" (KIP-415), byte for byte as Java's workers speak it.
//
// It owns the wire formats (Metadata, Assignment), what a leader computes (Eager,
// Incremental, the config offset rule) and what a member remembers between rounds
// (Member: incremental assignments merged into the set of work it holds). It also signs
// and verifies requests between workers (Sign, Verify).
//
// It does not start or stop work, and reads no internal topic: the herder does, told by
// Member's events. Nothing here waits for I/O except Member.Run, whose goroutine owns
// the membership; the assignors belong to one goroutine at a time.
package group
