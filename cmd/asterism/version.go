package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version is set by the Makefile; what "go install" builds knows its module's.
var version string

type versionCmd struct{}

// Run prints one line.
func (versionCmd) Run(w io.Writer) error {
	_, err := fmt.Fprintf(w, "asterism %s %s %s/%s\n", currentVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

func currentVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
