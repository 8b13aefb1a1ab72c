package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// resource is one resource declaration (Swagger 1.1 as Asterisk writes it), reduced to the facts of the
// interface. Decoding a file of the Asterisk package into it and encoding it again drops everything that is prose.
type resource struct {
	Name            string            `json:"-"`
	ResourcePath    string            `json:"resourcePath"`
	Since           []string          `json:"since,omitempty"`
	RequiresModules []string          `json:"requiresModules,omitempty"`
	APIs            []api             `json:"apis"`
	Models          orderedMap[model] `json:"models,omitzero"`
}

// api is one path with its operations.
type api struct {
	Path       string      `json:"path"`
	Operations []operation `json:"operations"`
}

// operation is one HTTP method on a path.
type operation struct {
	Method     string      `json:"httpMethod"`
	Since      []string    `json:"since,omitempty"`
	Nickname   string      `json:"nickname"`
	Response   string      `json:"responseClass"`
	Upgrade    string      `json:"upgrade,omitempty"`
	Parameters []parameter `json:"parameters,omitempty"`
	Errors     []errorCode `json:"errorResponses,omitempty"`
}

// errorCode is a status that Asterisk declares; some files write it as a string.
type errorCode struct {
	Code json.Number `json:"code"`
}

// parameter is an argument of an operation, in the path, the query or the body.
type parameter struct {
	Name     string         `json:"name"`
	In       string         `json:"paramType"`
	Type     string         `json:"dataType"`
	Required bool           `json:"required,omitempty"`
	Multiple bool           `json:"allowMultiple,omitempty"`
	Default  any            `json:"defaultValue,omitempty"`
	Allowed  *allowedValues `json:"allowableValues,omitempty"`
}

// allowedValues is a LIST of strings or a RANGE of numbers.
type allowedValues struct {
	Kind   string   `json:"valueType"`
	Values []string `json:"values,omitempty"`
	Min    *int64   `json:"min,omitempty"`
	Max    *int64   `json:"max,omitempty"`
}

// model is a JSON object that Asterisk sends.
type model struct {
	SubTypes   []string             `json:"subTypes,omitempty"`
	Properties orderedMap[property] `json:"properties"`
}

// property is one member of a model.
type property struct {
	Type     string         `json:"type"`
	Required bool           `json:"required,omitempty"`
	Allowed  *allowedValues `json:"allowableValues,omitempty"`
}

// orderedMap is a JSON object whose members keep their order.
type orderedMap[T any] struct {
	keys   []string
	values map[string]T
}

// IsZero lets encoding/json omit an absent object.
func (m orderedMap[T]) IsZero() bool { return m.values == nil }

// UnmarshalJSON keeps the order of the members and refuses a repeated one.
func (m *orderedMap[T]) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	if _, err := dec.Token(); err != nil {
		return err
	}
	m.values = map[string]T{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := key.(string)
		if !ok {
			return fmt.Errorf("member name is %v, expected a string", key)
		}
		if _, dup := m.values[name]; dup {
			return fmt.Errorf("member %q is there twice", name)
		}
		var v T
		if err := dec.Decode(&v); err != nil {
			return fmt.Errorf("member %q: %w", name, err)
		}
		m.keys = append(m.keys, name)
		m.values[name] = v
	}
	return nil
}

// MarshalJSON writes the members in their order.
func (m orderedMap[T]) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, k := range m.keys {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		val, err := json.Marshal(m.values[k])
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), val...)
	}
	return append(out, '}'), nil
}

// index is resources.json: the list of the other files.
type index struct {
	APIs []struct {
		Path string `json:"path"`
	} `json:"apis"`
}

var errNoDeclarations = errors.New("no resource declarations found")

// load reads every resource that resources.json of dir names, or every *.json where there is no such index
// (the committed copy), sorted by name.
func load(dir string) ([]resource, error) {
	names, err := resourceNames(dir)
	if err != nil {
		return nil, err
	}
	out := make([]resource, 0, len(names))
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name+".json"))
		if err != nil {
			return nil, fmt.Errorf("read resource declaration: %w", err)
		}
		r := resource{Name: name}
		if err := json.Unmarshal(data, &r); err != nil {
			return nil, fmt.Errorf("parse %s.json: %w", name, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func resourceNames(dir string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "resources.json"))
	var names []string
	switch {
	case err == nil:
		var idx index
		if err := json.Unmarshal(data, &idx); err != nil {
			return nil, fmt.Errorf("parse resources.json: %w", err)
		}
		for _, a := range idx.APIs {
			base := filepath.Base(a.Path)
			names = append(names, strings.TrimSuffix(base, ".{format}"))
		}
	case errors.Is(err, os.ErrNotExist):
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", dir, err)
		}
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
		}
	default:
		return nil, fmt.Errorf("read index of resource declarations: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w", dir, errNoDeclarations)
	}
	slices.Sort(names)
	return names, nil
}

// facts encodes a resource as the committed copy has it.
func (r *resource) facts() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", r.Name, err)
	}
	return append(data, '\n'), nil
}
