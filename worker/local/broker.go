package local

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kversion"
)

// createTopics is the API key of CreateTopics. Answers of kfake to version 5 and
// newer break Java clients, which therefore are offered version 4.
const (
	createTopics           = 19
	createTopicsMaxVersion = 4
)

// startBroker serves the Kafka protocol on ln from the log files under dataDir.
// Data is not synced per batch: as with Kafka, a killed process loses nothing,
// a machine that loses power may.
func startBroker(ln net.Listener, dataDir string) (*kfake.Cluster, error) {
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(createTopics, createTopicsMaxVersion)
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.DataDir(dataDir),
		kfake.DefaultNumPartitions(1),
		kfake.MaxVersions(versions),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the broker from %s: %w", dataDir, err), ln.Close())
	}
	return cluster, nil
}

// listen opens a listener for the part named by what. Port 0 picks a free one.
func listen(what, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr) //nolint:noctx // binding does not wait
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("the %s cannot listen on %s: the port is taken (stop the other program, or choose another port; 0 picks a free one)", what, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("the %s cannot listen on %s: %w", what, addr, err)
	}
	return ln, nil
}
