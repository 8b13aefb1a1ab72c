// Command flowlint refuses what a replay of a flow cannot repeat. What it
// refuses, and why, is in docs/replay.md.
//
//	go run ./apps/flowlint/cmd/flowlint ./apps/...
package main

import (
	"golang.org/x/tools/go/analysis/singlechecker"

	"asterism/apps/flowlint"
)

func main() { singlechecker.Main(flowlint.New()) }
