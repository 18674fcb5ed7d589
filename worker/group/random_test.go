package group

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRandomRounds replays random stories, and wants every round to be what Java's
// assignor made of it.
func TestRandomRounds(t *testing.T) {
	text, err := os.ReadFile("testdata/random.txt")
	if err != nil {
		t.Fatal(err)
	}
	var c *cluster
	var maxDelay time.Duration
	var tasks map[string]int
	rounds, at := 0, 0
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("line %d: %v", at, err)
		}
		return n
	}
	for line := range strings.Lines(string(text)) {
		at++
		line = strings.TrimSuffix(line, "\n")
		event := strings.Fields(line)
		switch event[0] {
		case "#":
		case "story":
			maxDelay = time.Duration(number(event[1])) * time.Millisecond
			c, tasks = newCluster(maxDelay), map[string]int{}
		case "join":
			c.held[event[1]] = Work{}
		case "leave":
			c.leave(event[1])
		case "back":
			c.back(event[1], event[2])
		case "miss":
			c.missed = event[1]
		case "set":
			tasks[event[1]] = number(event[2])
		case "delete":
			delete(tasks, event[1])
		case "lead":
			c.lead(maxDelay)
		case "wait":
			c.now = c.now.Add(time.Duration(number(event[1])) * time.Millisecond)
		case "round":
			rounds++
			want := "delay=" + strings.TrimPrefix(sortRevoked(line), "round ")
			if got := show(c.round(configured(tasks))); got != want {
				t.Fatalf("line %d:\n got %s\nwant %s", at, got, want)
			}
		default:
			t.Fatalf("line %d: what is %q?", at, event[0])
		}
	}
	if rounds != 1200 {
		t.Errorf("%d rounds were replayed, want 1200", rounds)
	}
}
