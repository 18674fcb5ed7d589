//go:build unix

package parts

import (
	"context"
	"os"
	"path/filepath"
)

// venv returns the bin folder of a virtual environment of Python with pinned packages.
func venv(ctx context.Context, name string, requirements []byte) (string, error) {
	dir, err := install(name, requirements, func(dir string) error {
		python, err := tool("python3")
		if err != nil {
			return err
		}
		if _, err := run(ctx, "", nil, python, "-m", "venv", dir); err != nil {
			return err
		}
		list := filepath.Join(dir, "requirements.txt")
		if err := os.WriteFile(list, requirements, 0o644); err != nil {
			return err
		}
		_, err = run(ctx, "", nil, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-compile", "-r", list)
		return err
	})
	return filepath.Join(dir, "bin"), err
}
