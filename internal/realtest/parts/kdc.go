//go:build unix

package parts

import (
	"context"
	_ "embed" // the pom and the server's source
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

var (
	//go:embed kdc/pom.xml
	kdcPOM []byte
	//go:embed kdc/Kdc.java
	kdcSource []byte
)

// A KDC is Apache Kerby's KDC of one realm.
type KDC struct {
	*Process
	Realm string
	Conf  string // the path of a krb5.conf that names it

	dir string
}

// StartKDC installs and starts a KDC that knows some principals, given without their realm.
func StartKDC(ctx context.Context, dir string, principals ...string) (*KDC, error) {
	bin, err := java(ctx)
	if err != nil {
		return nil, err
	}
	lib, err := jars(ctx, "kdc", kdcPOM)
	if err != nil {
		return nil, err
	}
	source := filepath.Join(dir, "Kdc.java")
	if err := os.WriteFile(source, kdcSource, 0o644); err != nil {
		return nil, err
	}
	k := &KDC{Realm: "FIRN.TEST", Conf: filepath.Join(dir, "krb5.conf"), dir: dir}
	args := []string{
		"-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", filepath.Join(lib, "*"), source, dir, k.Realm,
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), bin, append(args, principals...)...)
	cmd.Dir = dir
	if k.Process, err = Start("KDC", filepath.Join(dir, "kdc.log"), cmd); err != nil {
		return nil, err
	}
	return k, k.Await(ctx, k.says("listening on port "))
}

// Keytab is the path of a principal's keytab.
func (k *KDC) Keytab(principal string) string { return k.file(principal, ".keytab") }

// OldKeytab is the path of a keytab with a key that the principal had before.
func (k *KDC) OldKeytab(principal string) string { return k.file(principal, ".old.keytab") }

// Cache is the path of a ticket cache with a principal's ticket-granting ticket.
func (k *KDC) Cache(principal string) string { return k.file(principal, ".ccache") }

func (k *KDC) file(principal, suffix string) string {
	return filepath.Join(k.dir, strings.ReplaceAll(principal, "/", "-")+suffix)
}
