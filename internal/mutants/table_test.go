package mutants

// The faults that a seed of the simulation can end with; its failures begin with them.
const (
	dup      = "DUP"     // a row is in a table twice
	lost     = "LOST"    // a row is missing though the group's offsets are past it
	order    = "ORDER"   // a key's row is not that of its last record
	corrupt  = "CORRUPT" // a snapshot names a file that was deleted
	stuck    = "STUCK"   // the offsets do not reach the end of the log
	harmless = ""
)

// A mutant is a guard that is switched off.
type mutant struct {
	name  string
	guard string
	fault string // that it must lead to, or several; harmless if none is known
	edits []edit
}

// An edit replaces text that is in a file of the commit package once.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{
		"floor-equality", "a link is taken only if the floor is the one that its rows were filtered with", dup,
		[]edit{{"publish.go", "case now == f:\n", "default:\n"}, {"publish.go", mismatchCase, "\t\t\texacts++\n"}},
	},
	{
		"floor-below-range", "the same, weakened to: or one that is not above the range", harmless,
		[]edit{{"publish.go", "case now == f:\n", "case now == f || now <= r.First:\n"}},
	},
	{
		"head-pin", "a commit says on which head it was decided, and the library does not send it again for another", dup,
		[]edit{{"publish.go", pinned, ""}},
	},
	{
		"sent-again", "what failed is not sent again for a new head", dup,
		[]edit{{"publish.go", commitFailed, sentAgain}},
	},
	{
		"filter", "rows below the floor are not written again (here: by the task of the simulation)", dup,
		[]edit{{"sim_member_test.go", "f == None || offset >= f {", "f >= None {"}},
	},
	{
		"chain", "a unit is accepted only at the end of the chain", lost,
		[]edit{{"ledger.go", "\t\tcase r.First > level.End:\n\t\t\tv = waits\n", ""}},
	},
	{
		"refuse-unit", "a refused link takes its unit with it", lost,
		[]edit{{"pipeline.go", "for _, d := range c.ledger.refuse(out.refused) {", "c.ledger.land(l.target, []*Unit{out.refused})\n\t\tfor _, d := range []*Unit{out.refused} {"}},
	},
	{
		"group-after-tables", "the group's offsets move when all tables have the rows", lost,
		[]edit{{"coordinator.go", "\t\tif c.stored[tp] < l.Done {\n\t\t\tbehind[tp] = l.Done\n", "\t\tif c.stored[tp] < l.End {\n\t\t\tbehind[tp] = l.End\n"}},
	},
	{
		"start-at-greatest-floor", "lost group offsets are replaced by D, not by a floor", lost,
		[]edit{{"open.go", "d := tables.D(", "d := tables.F("}},
	},
	{
		"start-at-least-floor", "the same, with the least floor instead, which a table that is new has not", lost,
		[]edit{
			{"open.go", "d := tables.D(", "d := tables.F("},
			{"open.go", "\t\tall.raise(s, f.F, f.D)\n", "\t\tif old, ok := all[s]; !ok || f.F < old.F {\n\t\t\tall[s] = f\n\t\t}\n"},
		},
	},
	{
		"merge-floors", "floors of partitions that a commit does not touch stay in the map", dup,
		[]edit{{"publish.go", "\tfor _, l := range levels {\n\t\tfloors.raise(", "\tfloors = Floors{}\n\tfor _, l := range levels {\n\t\tfloors.raise("}},
	},
	{
		"all-partitions", "all partitions of a file are compared with their floors", lost + " or " + dup, // by the partition that is looked at
		[]edit{{"publish.go", "\tfor at, f := range l.Floors {\n\t\tr := u.Ranges[at]\n\t\tnow :=", "\tfor at, f := range l.Floors {\n\t\tif exacts+landeds > 0 {\n\t\t\tbreak\n\t\t}\n\t\tr := u.Ranges[at]\n\t\tnow :="}},
	},
	{
		"topic-ids", "the topics' ids are looked up again after their records were read", dup,
		[]edit{{"coordinator.go", "\tif !u.reads() {\n", "\tif u != nil {\n"}},
	},
	{
		"property-copy", "the floors are copied to a property, for when the snapshots that have them expire", dup,
		[]edit{{"publish.go", setProperty, ""}},
	},
	{
		"unknown-as-success", "a commit without an answer is looked for in the table", lost,
		[]edit{{"publish.go", commitFailed, "commitID, some...); err != nil {\n\t\t\treturn out, nil\n"}},
	},
	{
		"unknown-as-failure", "the same, with the unit refused and its files deleted", corrupt,
		[]edit{
			{"publish.go", commitFailed, "commitID, some...); err != nil {\n\t\t\tdeleteFiles(units...)\n\t\t\tout.refused = units[0]\n\t\t\treturn out, nil\n"},
			deletedFiles, noDeleted,
		},
	},
	{
		"one-link-a-snapshot", "links of one partition have snapshots of their own in a keyed table", order,
		[]edit{{"delta.go", "if l.link.Keyed || !appending {", "if !appending {"}, {"delta.go", "appending = !l.link.Keyed", "appending = true"}},
	},
	{
		"end-back", "the chain's end goes back when a unit is refused", stuck,
		[]edit{{"ledger.go", "level.End = max(level.Done, r.First)", "level.End = max(level.End, r.First)"}},
	},
	{
		"void-ids", "what was refused is not accepted again", stuck,
		[]edit{{"ledger.go", "\tl.voidLog = append(l.voidLog, id)\n\tl.void[id] = true\n", ""}},
	},
	{
		"neutral", "a partition of which a file can have no rows is not compared", stuck,
		[]edit{{"publish.go", "\t\tcase f != None && f >= r.Next && now >= r.Next: // neutral\n", ""}},
	},
	{
		"group-as-level", "group offsets that did not arrive are committed again", stuck,
		[]edit{
			{"coordinator.go", "\ts := c.session\n", "\ts := c.session\n\tmaps.Copy(c.stored, behind)\n"},
			{"open.go", "if g < c.stored[tp] && !c.jobs.store.busy {", "if false {"},
		},
	},
	{
		"delete-rule", "files of a refused unit are not deleted", corrupt,
		[]edit{
			{"pipeline.go", "for _, d := range c.ledger.refuse(out.refused) {", "for _, d := range c.ledger.refuse(out.refused) {\n\t\t\tdeleteFiles(d)"},
			deletedFiles, noDeleted,
		},
	},
	{
		"delete-passed", "files of a link that the table has passed are not deleted, with the floor weakened as above", corrupt,
		[]edit{
			{"publish.go", "case now == f:\n", "case now == f || now <= r.First:\n"},
			{"publish.go", "\t\t\tcase landed:\n", "\t\t\tcase landed:\n\t\t\t\tdeleteFiles(&Unit{Links: []Link{*l}})\n"},
			deletedFiles, noDeleted,
		},
	},
	{
		"generation-fence", "the group's offsets are committed under member and generation (here: the simulated broker takes all)", harmless,
		[]edit{{"sim_member_test.go", "\tif s.Generation != m.w.generation ||", "\tif m.w.generation < 0 ||"}, {"sim_member_test.go", fence, " false"}},
	},
	{
		"config-hash", "units and cycles of another configuration do not count", harmless,
		[]edit{{"coordinator.go", "if u.ConfigHash != c.cfg.ConfigHash {", "if false {"}, {"chain.go", "cy.ConfigHash != c.hash ||", ""}},
	},
	{
		"landed", "what has landed is passed over", harmless,
		[]edit{{"publish.go", "\t\treturn landed, \"\"\n", "\t\treturn mismatch, \"landed before\"\n"}},
	},
	{
		"open-when-idle", "a partition is opened when nothing of it is pending", harmless,
		[]edit{{"chain.go", "if l.Idle() && !c.pending(tp) ||", "if !c.pending(tp) ||"}},
	},
}

const (
	mismatchCase = "\t\t\texacts++\n\t\tdefault:\n\t\t\treturn mismatch, fmt.Sprintf(\"%s: the rows of [%d, %d) were filtered with floor %d, the table has %d now\", r.TopicPartition, r.First, r.Next, f, now)\n"
	sentAgain    = "commitID, some...); err != nil {\n\t\t\tif t, err = p.catalog.LoadTable(ctx, target.Identifier()); err == nil {\n\t\t\t\tt, err = p.commit(ctx, t, target.Branch, commitID, some...)\n\t\t\t}\n\t\t}\n\t\tif err != nil {\n\t\t\treturn out, err\n"
	setProperty  = "\tif err := tx.SetProperties(iceberg.Properties{PropertyKey(branch): text}); err != nil {\n\t\treturn nil, fmt.Errorf(\"set %s: %w\", PropertyKey(branch), err)\n\t}\n"
	pinned       = "\tif err := tx.AssertRefSnapshotID(branch); err != nil {\n\t\treturn nil, fmt.Errorf(\"pin head of %s: %w\", branch, err)\n\t}\n"
	commitFailed = "commitID, some...); err != nil {\n\t\t\treturn out, err\n"
	fence        = " s.Member != fmt.Sprintf(\"m%d of %d\", m.slot, m.w.kafka)"
)

// Files that mutants delete are noted by path; every seed has paths of its own.
var (
	deletedFiles = edit{"coordinator.go", "func randomID() (id [16]byte) {", `var deletedPaths sync.Map

func deleteFiles(units ...*Unit) {
	for _, u := range units {
		for _, l := range u.Links {
			files, err := DecodeFiles(l.Version, l.SpecID, l.Files)
			if err != nil {
				panic(err)
			}
			for _, f := range files {
				deletedPaths.Store(f.FilePath(), true)
			}
		}
	}
}

func randomID() (id [16]byte) {`}
	noDeleted = edit{"sim_verify_test.go", "if _, ok := w.rows[path]; !ok {", "if _, ok := deletedPaths.Load(path); ok {"}
)
