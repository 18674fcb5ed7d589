package jsontree

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/firn-io/firn/connect"
)

func parse(tree *Tree, text string) (*Node, error) {
	tree.Reset(new(connect.Arena))
	return tree.Parse(text)
}

func TestRoundTrip(t *testing.T) {
	tests := []struct{ in, want string }{
		{` {"a" : [1 , -2.5,true,null] } `, `{"a":[1,-2.5,true,null]}`},
		{`{"a":1,"b":2,"a":{"c":[]}}`, `{"a":{"c":[]},"b":2}`},
		{`"\u00e9\ud83d\ude00\ud800x\/\"\\\b\f\n\r\t\u001f"`, `"é😀` + "\uFFFD" + `x/\"\\\b\f\n\r\t\u001F"`},
		{`[1e7,1.0,0.001,0.00012,123456789.125,-0.0,1E-300]`, `[1.0E7,1.0,0.001,1.2E-4,1.23456789125E8,-0.0,1.0E-300]`},
		{`[-0,2147483647,2147483648,9223372036854775808]`, `[0,2147483647,2147483648,9223372036854775808]`},
		{`{}`, `{}`},
	}
	var tree Tree
	for _, tt := range tests {
		n, err := parse(&tree, tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if got := string(tree.AppendJSON(nil, n)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestKindsOfNumbers(t *testing.T) {
	for in, want := range map[string]Kind{
		"1": Int, "-2147483648": Int, "2147483648": Long, "-9223372036854775808": Long, "9223372036854775808": BigInt, "1.0": Double, "1e2": Double,
	} {
		n, err := parse(new(Tree), in)
		if err != nil || n.Kind != want {
			t.Errorf("%s: got %+v, %v, want kind %d", in, n, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, in := range []string{
		"", " ", "{", "[", `{"a"}`, `{"a":}`, `{"a":1,}`, "[1,]", "[1 2]", "01", "1.", "-", "1e", "+1", ".5", "1e999", "nul", "NaN", `"a`, "\"\n\"",
		`"\x"`, `"\u12"`, `"\u12G4"`, `"\u+123"`, "\"\xff\"", "1 2", `{"a":1}{`, "{a:1}", strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		strings.Repeat("1", maxNumberBytes+1), `"\`, `{"a":1 "b":2}`,
	} {
		if n, err := parse(new(Tree), in); err == nil {
			t.Errorf("%.30q: got %+v, want an error", in, n)
		}
	}
}

func TestLargeObjectsKeepTheLastOfEqualKeys(t *testing.T) {
	var in, want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&in, `"k%d":%d,`, i%60, i)
	}
	for i := range 60 {
		v := i
		if i < 40 {
			v = i + 60
		}
		fmt.Fprintf(&want, `"k%d":%d,`, i, v)
	}
	var tree Tree
	n, err := parse(&tree, "{"+strings.TrimSuffix(in.String(), ",")+"}")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(tree.AppendJSON(nil, n)); got != "{"+strings.TrimSuffix(want.String(), ",")+"}" {
		t.Errorf("got %s", got)
	}
	if m := tree.Member(n, "k3"); m == nil || m.Int != 63 {
		t.Errorf("member k3: got %+v, want 63", m)
	}
}

func TestSeveralTextsInOneTree(t *testing.T) {
	var tree Tree
	first, err := parse(&tree, `{"a":[1,2]}`)
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := tree.Parse(`[[],{"b":[{}]}]`); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(tree.AppendJSON(nil, first)); got != `{"a":[1,2]}` {
		t.Errorf("got %s, want the first text as it was", got)
	}
}

// FuzzParse compares with encoding/json: what is read prints as the same value, and what
// encoding/json refuses is refused.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,{"b":null}],"a":"\u0041"}`, `[[[[]]]]`, `"\ud800"`, strings.Repeat("[", 2000), `{"x":1e400}`, "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		var tree Tree
		n, err := parse(&tree, in)
		var want any
		stdErr := json.Unmarshal([]byte(in), &want)
		if err != nil {
			return
		}
		if !json.Valid([]byte(in)) {
			t.Fatalf("read %q as %s, encoding/json: %v", in, tree.AppendJSON(nil, n), stdErr)
		}
		if stdErr != nil {
			return // an integer that is no float64
		}
		var got any
		if err := json.Unmarshal(tree.AppendJSON(nil, n), &got); err != nil {
			t.Fatalf("%q printed as %s: %v", in, tree.AppendJSON(nil, n), err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %v, want %v", in, got, want)
		}
	})
}
