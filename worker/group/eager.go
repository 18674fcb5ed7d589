package group

import (
	"maps"
	"slices"
)

// AssignEager divides configured anew among the members, round robin: first all
// connectors, then all tasks. (Source: EagerAssignor.)
func AssignEager(configured Work, members []string) map[string]Work {
	out := make(map[string]Work, len(members))
	for _, m := range members {
		out[m] = Work{}
	}
	ids := slices.Sorted(maps.Keys(out))
	if len(ids) == 0 {
		return out
	}
	configured = sorted(configured.Clone())
	turn := 0
	give := func(f func(w *Work)) {
		w := out[ids[turn%len(ids)]]
		f(&w)
		out[ids[turn%len(ids)]] = w
		turn++
	}
	for _, c := range configured.Connectors {
		give(func(w *Work) { w.Connectors = append(w.Connectors, c) })
	}
	for _, t := range configured.Tasks {
		give(func(w *Work) { w.Tasks = append(w.Tasks, t) })
	}
	return out
}
