// Package mutants proves that the simulation of the commit protocol would notice if a
// guard of the protocol were not there. It has tests alone: each mutant is a small edit of
// a source file that switches one guard off. `go test` checks that the edits still fit the
// sources; with -mutants.run each is compiled, by go's -overlay, and has to make a seed of
// the simulation fail with the fault that is named for it:
//
//	go test ./internal/mutants -mutants.run -v                        # all, minutes
//	go test ./internal/mutants -mutants.run -run 'Mutants/chain$' -v  # one
package mutants
