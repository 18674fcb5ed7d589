// Package sink runs one task of a sink connector: it is a member of the connector's
// consumer group, fetches, converts, transforms, hands batches to the task and commits
// what the task says is safe (WorkerSinkTask in Java).
//
// One goroutine, the one behind [Task.Run], owns all of it: positions, the batch under
// way, the plugins. Group membership (heartbeats), commits to the group and metadata
// look-ups have goroutines of their own, which Run waits for; they send, and never touch
// the loop's state. SetPaused and the TaskContext's Wake, Fail and Group may be called
// from any goroutine.
//
// A task that is a connect.Recluse is asked who else is in the group, before it joins and
// in each generation; it is a member only while that is nobody.
//
// What it promises: records of a partition reach Put in offset order, and none is
// left out except those that the connector's errors.* allow; an offset is committed only
// after PreCommit named it and every dead-letter record below it was acknowledged; a
// partition kept through a rebalance is neither closed nor re-opened. What it does not:
// exactly-once is the task's affair (the Iceberg task keeps offsets in the table).
package sink
