// Command gen writes the generated half of package ari: one file of operations a resource, the models, the events
// and the table of operations, from Asterisk's resource declarations.
//
// It knows the declarations and the shape of package ari's hand-written helpers, and nothing about calls or NATS.
//
//	go generate ./ari                                   write ari/*_gen.go from the committed facts
//	go run ./ari/internal/gen -check DIR                compare the committed facts with an installed Asterisk's
//	go run ./ari/internal/gen -import DIR               replace the committed facts by an installed Asterisk's
//
// DIR is the rest-api directory of an Asterisk, such as /usr/share/asterisk/rest-api.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	fs := flag.NewFlagSet("gen", flag.ContinueOnError)
	apiDir := fs.String("api", "ari/internal/gen/rest-api", "directory of the committed facts")
	out := fs.String("out", "ari", "directory to write *_gen.go into")
	check := fs.String("check", "", "compare the committed facts with the declarations in this directory")
	imp := fs.String("import", "", "replace the committed facts by the declarations in this directory")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case *check != "":
		return checkFacts(*apiDir, *check)
	case *imp != "":
		return importFacts(*apiDir, *imp)
	}
	files, err := generate(*apiDir)
	if err != nil {
		return err
	}
	return writeFiles(*out, files)
}

// writeFiles writes the generated files and removes those of an earlier run that are no longer generated.
func writeFiles(dir string, files map[string][]byte) error {
	old, err := filepath.Glob(filepath.Join(dir, "*_gen.go"))
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, f := range old {
		if _, keep := files[filepath.Base(f)]; !keep {
			if err := os.Remove(f); err != nil {
				return fmt.Errorf("remove stale file: %w", err)
			}
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("write generated file: %w", err)
		}
	}
	return nil
}

var errFactsDiffer = errors.New("the committed facts differ from the installed declarations")

// checkFacts says which resources of the installed Asterisk differ from the committed facts.
func checkFacts(apiDir, installed string) error {
	want, err := load(installed)
	if err != nil {
		return err
	}
	have, err := load(apiDir)
	if err != nil {
		return err
	}
	haveByName := map[string]resource{}
	for _, r := range have {
		haveByName[r.Name] = r
	}
	var differ []string
	for _, w := range want {
		h, ok := haveByName[w.Name]
		delete(haveByName, w.Name)
		if !ok {
			differ = append(differ, w.Name+" (missing here)")
			continue
		}
		wf, err := w.facts()
		if err != nil {
			return err
		}
		hf, err := h.facts()
		if err != nil {
			return err
		}
		if !bytes.Equal(wf, hf) {
			differ = append(differ, w.Name)
		}
	}
	for name := range haveByName {
		differ = append(differ, name+" (gone there)")
	}
	if len(differ) > 0 {
		return fmt.Errorf("%w: %s; run gen -import %s, then go generate ./ari", errFactsDiffer, strings.Join(differ, ", "), installed)
	}
	return nil
}

// importFacts replaces the committed facts.
func importFacts(apiDir, installed string) error {
	rs, err := load(installed)
	if err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(apiDir, "*.json"))
	if err != nil {
		return fmt.Errorf("list %s: %w", apiDir, err)
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return fmt.Errorf("remove old facts: %w", err)
		}
	}
	for _, r := range rs {
		data, err := r.facts()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(apiDir, r.Name+".json"), data, 0o644); err != nil {
			return fmt.Errorf("write facts: %w", err)
		}
	}
	return nil
}
