// Package simtest plays whole Connect clusters in fake time: several real workers with
// the real Iceberg sink on a broker, a network, a catalog and a store in memory, all of
// which fail as a seed says. It has tests alone:
//
//	go test ./internal/simtest                            # 200 seeds
//	go test ./internal/simtest -sim.seeds 2000            # more; or SEEDS=2000
//	go test ./internal/simtest -sim.seed 17 -v            # one, with the workers' logs
//
// One seed is one testing/synctest bubble: minutes of a cluster's life in a fraction of
// a second. What the seed decides is when which harm is done; what it cannot decide is
// the order in which Go runs goroutines that are ready at the same instant, nor the
// random ids of members and files. A seed that failed is therefore likely, not sure, to
// fail again; its story is printed with the failure for that reason.
package simtest
