//go:build unix

package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Postgres is a database cluster with one database, of the PostgreSQL that the
// system has.
type Postgres struct {
	*Process
	Port           int
	User, Password string
	Database       string

	dir string
}

// postgresBin finds the folder of initdb and postgres: where the path leads, or where
// Debian keeps them, the newest version first.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	if len(found) == 0 {
		return "", fmt.Errorf("initdb of PostgreSQL: %w", ErrMissing)
	}
	return filepath.Dir(slices.Max(found)), nil
}

// StartPostgres makes a database cluster in a folder of its own and starts it; stop
// it by Close. PostgreSQL refuses to run as root: then it runs as the system's user
// postgres.
func StartPostgres(ctx context.Context) (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "firn-postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{User: "firn", Password: uuid.NewString(), Database: "postgres", dir: dir}
	if err := p.start(ctx, bin); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

func (p *Postgres) start(ctx context.Context, bin string) error {
	asUser, err := p.unprivileged()
	if err != nil {
		return err
	}
	if p.Port, err = FreePort(ctx); err != nil {
		return err
	}
	secret, data := filepath.Join(p.dir, "password"), filepath.Join(p.dir, "data")
	if err := os.WriteFile(secret, []byte(p.Password), 0o644); err != nil { // another user reads it, in a folder of theirs
		return err
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--no-sync", "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
		"--username", p.User, "--pwfile", secret, "--pgdata", data)
	initdb.Dir, initdb.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: asUser}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	server := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(bin, "postgres"), "-D", data, "-F",
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(p.Port), "-c", "unix_socket_directories=")
	server.Dir, server.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: asUser}
	if p.Process, err = Start("postgres", filepath.Join(p.dir, "postgres.log"), server); err != nil {
		return err
	}
	return p.Await(ctx, p.isOurs)
}

// unprivileged gives dir to the user postgres if this process is root.
func (p *Postgres) unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("a user for PostgreSQL: %w: %w", ErrMissing, err)
	}
	uid, uidErr := strconv.Atoi(u.Uid)
	gid, gidErr := strconv.Atoi(u.Gid)
	if err := errors.Join(uidErr, gidErr, os.Chown(p.dir, uid, gid)); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// isOurs logs in: no other server has this user with this password.
func (p *Postgres) isOurs(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.URI("postgresql"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// URL is where the database is, as a JDBC driver is told behind "jdbc:".
func (p *Postgres) URL() string {
	return fmt.Sprintf("postgresql://%s/%s", address(p.Port), p.Database)
}

// URI is where the database is, with the credentials in it.
func (p *Postgres) URI(scheme string) string {
	return fmt.Sprintf("%s://%s:%s@%s/%s", scheme, p.User, p.Password, address(p.Port), p.Database)
}

// Close stops the server and removes its data.
func (p *Postgres) Close() error { return errors.Join(p.Stop(), os.RemoveAll(p.dir)) }
