package kafka

import (
	"encoding/hex"
	"reflect"
	"slices"
	"testing"

	"github.com/IBM/sarama"

	"github.com/firn-io/firn/connect"
)

// The bytes follow ConsumerProtocolSubscription.json and ConsumerProtocolAssignment.json
// of Kafka 4.1, as its ConsumerProtocol writes them.
func TestConsumerProtocolBytes(t *testing.T) {
	s := Subscription{
		Topics: []string{"b", "a"}, UserData: []byte{0, 0, 0, 7}, Generation: 7, Rack: "r1",
		Owned: []connect.TopicPartition{tp("b", 1), tp("a", 2), tp("a", 0)},
	}
	const wantSubscription = "0003" + "00000002" + "000161" + "000162" + "00000004" + "00000007" +
		"00000002" + "000161" + "00000002" + "00000000" + "00000002" + "000162" + "00000001" + "00000001" + "00000007" + "00027231"
	if got := hex.EncodeToString(EncodeSubscription(s)); got != wantSubscription {
		t.Errorf("subscription\n got %s\nwant %s", got, wantSubscription)
	}
	if got := hex.EncodeToString(EncodeSubscription(Subscription{Generation: -1})); got != "000300000000ffffffff00000000ffffffffffff" {
		t.Errorf("empty subscription: %s", got)
	}
	back, err := DecodeSubscription(EncodeSubscription(s))
	slices.Sort(s.Topics)
	slices.SortFunc(s.Owned, connect.TopicPartition.Compare)
	if err != nil || !reflect.DeepEqual(back, s) {
		t.Errorf("decoded %+v, %v; want %+v", back, err, s)
	}

	a := Assignment{Partitions: []connect.TopicPartition{tp("a", 1), tp("a", 0)}}
	const wantAssignment = "0003" + "00000001" + "000161" + "00000002" + "00000000" + "00000001" + "ffffffff"
	if got := hex.EncodeToString(EncodeAssignment(a)); got != wantAssignment {
		t.Errorf("assignment\n got %s\nwant %s", got, wantAssignment)
	}
	if got, err := DecodeAssignment(nil); err != nil || len(got.Partitions) != 0 {
		t.Errorf("no assignment: %v, %v", got, err)
	}
}

func TestDecodeOldAndNewVersions(t *testing.T) {
	v0, err := hex.DecodeString("0000" + "00000001" + "000161" + "00000004" + "00000005")
	if err != nil {
		t.Fatal(err)
	}
	s, err := DecodeSubscription(v0)
	if err != nil || s.Generation != -1 || len(s.Owned) != 0 || s.Topics[0] != "a" || len(s.UserData) != 4 {
		t.Errorf("version 0: %+v, %v", s, err)
	}
	newer := append(EncodeSubscription(Subscription{Topics: []string{"a"}, Generation: 3}), 1, 2, 3)
	newer[1] = 9
	if s, err := DecodeSubscription(newer); err != nil || s.Generation != 3 {
		t.Errorf("version 9: %+v, %v", s, err)
	}
	// Sarama writes version 1 and reads what we write.
	var theirs sarama.ConsumerGroupMemberMetadata
	r := sarama.JoinGroupRequest{}
	if err := r.AddGroupProtocolMetadata("range", &sarama.ConsumerGroupMemberMetadata{Version: 1, Topics: []string{"a"}, OwnedPartitions: []*sarama.OwnedPartition{{Topic: "a", Partitions: []int32{4}}}}); err != nil {
		t.Fatal(err)
	}
	s, err = DecodeSubscription(r.OrderedGroupProtocols[0].Metadata)
	if err != nil || s.Owned[0] != tp("a", 4) {
		t.Errorf("sarama's %+v: %+v, %v", theirs, s, err)
	}
}

func FuzzConsumerProtocol(f *testing.F) {
	f.Add(EncodeSubscription(Subscription{Topics: []string{"a", "b"}, Owned: []connect.TopicPartition{tp("a", 1)}, Generation: 3, Rack: "r"}))
	f.Add(EncodeAssignment(Assignment{Partitions: []connect.TopicPartition{tp("a", 1)}, UserData: []byte{1}}))
	f.Add([]byte{0, 1, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 1, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := DecodeSubscription(data); err == nil {
			again, err := DecodeSubscription(EncodeSubscription(s))
			slices.Sort(s.Topics)
			slices.SortFunc(s.Owned, connect.TopicPartition.Compare)
			if err != nil || !slices.Equal(s.Topics, again.Topics) || !slices.Equal(s.Owned, again.Owned) {
				t.Errorf("%+v became %+v, %v", s, again, err)
			}
		}
		if a, err := DecodeAssignment(data); err == nil {
			if _, err := DecodeAssignment(EncodeAssignment(a)); err != nil {
				t.Error(err)
			}
		}
	})
}
