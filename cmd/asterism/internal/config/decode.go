package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// loader gathers values and problems. A decoder of our own walks the syntax
// tree, because a library's stops at the first mistake.
type loader struct {
	file     string
	anchors  map[string]ast.Node
	origins  map[string]Origin
	problems Problems
}

func (l *loader) problem(o Origin, path, format string, args ...any) {
	l.problems = append(l.problems, Problem{Origin: o, Path: path, Text: fmt.Sprintf(format, args...)})
}

func (l *loader) at(n ast.Node) Origin {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return Origin{File: l.file}
	}
	p := n.GetToken().Position
	return Origin{File: l.file, Line: p.Line, Column: p.Column}
}

// origin is where the value at path comes from, or else what contains it.
func (l *loader) origin(path string) Origin {
	for p := path; p != ""; {
		if o, ok := l.origins[p]; ok {
			return o
		}
		p = p[:max(strings.LastIndexAny(p, ".["), 0)]
	}
	return Origin{File: l.file, Other: "configuration"}
}

// decodeFile lays the YAML over cfg; false means that it is no YAML at all.
func (l *loader) decodeFile(data []byte, cfg *Config) bool {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		o, text := Origin{File: l.file}, err.Error()
		if at, ok := errors.AsType[yaml.Error](err); ok {
			text = at.GetMessage()
			if t := at.GetToken(); t != nil && t.Position != nil {
				o.Line, o.Column = t.Position.Line, t.Position.Column
			}
		}
		l.problem(o, "", "is not YAML: %s", text)
		return false
	}
	if len(file.Docs) > 1 {
		l.problem(l.at(file.Docs[1].Body), "", "holds a second YAML document; expected one")
		return false
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return true
	}
	l.anchors = make(map[string]ast.Node)
	for _, n := range ast.Filter(ast.AnchorType, file.Docs[0].Body) {
		if a, ok := n.(*ast.AnchorNode); ok {
			l.anchors[a.Name.String()] = a.Value
		}
	}
	l.decode(file.Docs[0].Body, reflect.ValueOf(cfg).Elem(), "")
	return true
}

// decode stores node in v. Its depth is bounded by the depth of the type.
func (l *loader) decode(node ast.Node, v reflect.Value, path string) {
	node = l.resolve(node)
	if node.Type() == ast.NullType || node.Type() == ast.CommentType {
		return // nothing said: the default holds
	}
	if path != "" {
		l.origins[path] = l.at(node)
	}
	switch {
	case v.Kind() == reflect.Struct:
		l.decodeStruct(node, v, path)
	case v.Kind() == reflect.Slice:
		l.decodeSlice(node, v, path)
	default:
		text, ok := scalar(node)
		if !ok {
			l.problem(l.at(node), path, "is %s; expected %s", kindOf(node), expected(v.Type()))
			return
		}
		if err := setScalar(v, text); err != nil {
			l.problem(l.at(node), path, "%v", err)
		}
	}
}

func (l *loader) resolve(node ast.Node) ast.Node {
	for range 8 {
		switch n := node.(type) {
		case *ast.AnchorNode:
			node = n.Value
		case *ast.TagNode:
			node = n.Value
		case *ast.AliasNode:
			target, ok := l.anchors[n.Value.String()]
			if !ok {
				return node
			}
			node = target
		default:
			return node
		}
	}
	return node
}

func (l *loader) decodeStruct(node ast.Node, v reflect.Value, path string) {
	m, ok := node.(ast.MapNode)
	if !ok {
		l.problem(l.at(node), path, "is %s; expected %s", kindOf(node), expected(v.Type()))
		return
	}
	keys := fields(v.Type())
	for it := m.MapRange(); it.Next(); {
		key := it.Key().String()
		if s, ok := it.Key().(*ast.StringNode); ok {
			key = s.Value
		}
		i, ok := keys.index[key]
		if !ok {
			l.problem(l.at(it.Key()), join(path, key), "%s", unknown(key, keys.names))
			continue
		}
		l.decode(it.Value(), v.Field(i), join(path, key))
	}
}

func (l *loader) decodeSlice(node ast.Node, v reflect.Value, path string) {
	seq, ok := node.(*ast.SequenceNode)
	if !ok {
		l.problem(l.at(node), path, "is %s; expected %s", kindOf(node), expected(v.Type()))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, len(seq.Values)))
	for i, item := range seq.Values {
		grow(v, i)
		l.decode(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
}

// grow makes v at least i+1 long; new items start from their defaults.
func grow(v reflect.Value, i int) {
	for v.Len() <= i {
		item := reflect.New(v.Type().Elem()).Elem()
		if n, ok := reflect.TypeAssert[*Node](item.Addr()); ok {
			*n = defaultNode()
		}
		v.Set(reflect.Append(v, item))
	}
}

// fieldSet is the keys of a struct in their order.
type fieldSet struct {
	names []string
	index map[string]int
}

func fields(t reflect.Type) fieldSet {
	fs := fieldSet{index: make(map[string]int)}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			fs.names = append(fs.names, name)
			fs.index[name] = i
		}
	}
	return fs
}

func unknown(key string, names []string) string {
	if n := nearest(key, names); n != "" {
		return fmt.Sprintf("is not a known key; did you mean %q?", n)
	}
	return "is not a known key; expected one of " + strings.Join(names, ", ")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// scalar is the text of a scalar node as it was written.
func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

// setScalar parses text into v; its error continues a sentence that begins
// with the path.
func setScalar(v reflect.Value, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration; expected a number and a unit, such as 500ms, 30s or 24h", text)
		}
		*p = d
	case *Size:
		s, err := ParseSize(text)
		*p = s
		return err
	case *Secret:
		*p = Secret(text)
	case *string:
		*p = text
	case *bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is not a boolean; expected true or false", text)
		}
		*p = text == "true"
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a number; expected a whole number", text)
		}
		*p = n
	default:
		return fmt.Errorf("cannot be set from one value; expected %s", expected(v.Type()))
	}
	return nil
}

func expected(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 30s"
	case t == reflect.TypeFor[Size]():
		return "a size such as 2GiB"
	case t.Kind() == reflect.Struct:
		return "a mapping with " + strings.Join(fields(t).names, ", ")
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return "a list of mappings with " + strings.Join(fields(t.Elem()).names, ", ")
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	default:
		return "a text"
	}
}

func kindOf(node ast.Node) string {
	switch node.(type) {
	case ast.MapNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AliasNode:
		return "an alias of an unknown anchor"
	default:
		return "a single value"
	}
}
