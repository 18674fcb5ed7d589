package krb5

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/jcmturner/gokrb5/v8/keytab"
)

// readKeytab reads a keytab and leaves the keys of one principal in it, and tells of what
// encryption types they are.
func readKeytab(path string, who principal) (*keytab.Keytab, []int32, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the keytab: %w", err)
	}
	kt, err := parseKeytab(data)
	if err != nil {
		return nil, nil, fmt.Errorf("read the keytab %s: %w", path, err)
	}
	var types []int32
	var others []string
	kept := kt.Entries[:0]
	for _, e := range kt.Entries {
		other := strings.Join(e.Principal.Components, "/") + "@" + e.Principal.Realm
		if !slices.Equal(e.Principal.Components, who.names) || e.Principal.Realm != who.realm {
			if !slices.Contains(others, other) {
				others = append(others, other)
			}
			continue
		}
		kept, types = append(kept, e), append(types, e.Key.KeyType)
	}
	if len(kept) == 0 {
		return nil, nil, fmt.Errorf("the keytab %s has no key of %s; it has keys of %.300q", path, who, others)
	}
	// Of keys of the same time, as those that were imported often are, gokrb5 takes the first.
	sort.SliceStable(kept, func(i, j int) bool { return kept[i].KVNO > kept[j].KVNO })
	kt.Entries = kept
	return kt, types, nil
}

// parseKeytab hides gokrb5's errors, which repeat the keys.
func parseKeytab(data []byte) (*keytab.Keytab, error) {
	kt, err := guarded(func() (*keytab.Keytab, error) {
		kt := new(keytab.Keytab)
		return kt, kt.Unmarshal(data)
	})
	if err != nil {
		return nil, errors.New("it is no keytab, or not all of one")
	}
	return kt, nil
}
