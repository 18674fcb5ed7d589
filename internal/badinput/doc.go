// Package badinput tries, with whole workers, what users get wrong and what breaks around
// them. Each case wants two things: an error that says in one line where, why and what
// next, at the place where a user looks (the HTTP answer, the status, the log); and that
// nothing is lost: after the repair, and a restart of the task if it has failed, every
// record is in its table exactly once.
//
// The workers are the product's, with their REST API, on a fake Kafka cluster in a bubble
// of fake time; registry and catalog are fakes whose trouble the test makes. It holds
// tests only.
package badinput
