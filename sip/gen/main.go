// Command gen writes the reference page of the actions; go generate runs it.
package main

import (
	"fmt"
	"os"

	"asterism/sip"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen <file>")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], sip.Reference(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "write the reference page:", err)
		os.Exit(1)
	}
}
