//go:build linux

package main

import "time"

// A series is a growing number, seen at some moments.
type series []point

type point struct {
	when  time.Time
	value float64
}

func (s *series) add(value float64) { *s = append(*s, point{time.Now(), value}) }

// at is the number at a moment, on a straight line between the two nearest points.
func (s series) at(when time.Time) float64 {
	if len(s) == 0 {
		return 0
	}
	for i, p := range s {
		if p.when.Before(when) {
			continue
		}
		if i == 0 {
			return p.value
		}
		before := s[i-1]
		return before.value + (p.value-before.value)*float64(when.Sub(before.when))/float64(p.when.Sub(before.when))
	}
	return s[len(s)-1].value
}
