package iceberg

// A dropPolicy says what becomes of records that have no table.
type dropPolicy string

const (
	dropSkip       dropPolicy = "skip"        // count them and go on
	dropDeadLetter dropPolicy = "dead-letter" // as errors.tolerance and errors.deadletterqueue.* say
	dropFail       dropPolicy = "fail"        // end the task
)
