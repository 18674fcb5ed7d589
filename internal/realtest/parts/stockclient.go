//go:build unix

package parts

import (
	"bytes"
	"context"
	_ "embed" // the script
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

var (
	//go:embed stockclient/requirements.txt
	stockClientRequirements []byte
	//go:embed stockclient/call.py
	stockClientScript []byte
)

// StockClient is kafka-connect-py as PyPI has it: a Python class and a command line for
// the Connect REST API.
type StockClient struct{ bin, script string }

// NewStockClient installs the client; dir is for the script.
func NewStockClient(ctx context.Context, dir string) (*StockClient, error) {
	bin, err := venv(ctx, "stockclient", stockClientRequirements)
	if err != nil {
		return nil, err
	}
	c := &StockClient{bin, filepath.Join(dir, "call.py")}
	return c, os.WriteFile(c.script, stockClientScript, 0o644)
}

// Call calls a method of the class for a worker and decodes what it returns into answer
// (nil: dropped). What it raises is the error.
func (c *StockClient) Call(ctx context.Context, url, method string, args map[string]any, answer any) error {
	if args == nil {
		args = map[string]any{}
	}
	given, err := json.Marshal(args)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "python"), c.script, url, method)
	cmd.Stdin = bytes.NewReader(given)
	return decoded(cmd, answer)
}

// Command runs the command line for a worker. It exits with 0 whatever the answer is, so
// that an answer which is no JSON is the error.
func (c *StockClient) Command(ctx context.Context, url string, answer any, args ...string) error {
	return decoded(exec.CommandContext(ctx, filepath.Join(c.bin, "kc"), append([]string{"--url", url}, args...)...), answer)
}

// decoded runs a command and decodes what it prints; answer nil is for one that prints nothing.
func decoded(cmd *exec.Cmd, answer any) error {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args[1:], " "), err, stderr.Bytes())
	}
	if answer == nil {
		if text := strings.TrimSpace(string(out)); text != "" && text != "null" {
			return fmt.Errorf("%s: printed %s", strings.Join(cmd.Args[1:], " "), text)
		}
		return nil
	}
	if err := json.Unmarshal(out, answer); err != nil {
		return fmt.Errorf("%s: printed %.500s", strings.Join(cmd.Args[1:], " "), out)
	}
	return nil
}
