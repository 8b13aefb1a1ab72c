package telephony

import (
	"context"
	"fmt"
	"path/filepath"
)

// SIPp runs SIPp to its end in dir, where its scenario, injection and log files
// are, and returns what it printed last. The error says with what status it
// ended: 1 means that calls failed.
func (r *Root) SIPp(ctx context.Context, dir string, args ...string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("run sipp: %w", err)
	}
	out := &output{max: 1 << 20}
	err = r.run(ctx, Program{
		Name: "sipp", Args: args, Dir: abs, Binds: []Bind{{Source: abs}},
		Files: 65536, Stdout: out, Stderr: out,
	})
	if err != nil {
		return out.String(), fmt.Errorf("run sipp: %w", err)
	}
	return out.String(), nil
}
