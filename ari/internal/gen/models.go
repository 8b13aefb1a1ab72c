package main

import (
	"fmt"
	"slices"
	"strings"
)

// namedModel is a model with the name it is declared under.
type namedModel struct {
	name  string
	event bool
	model
}

// collectModels returns all models sorted by name; events are those below Event, and MissingParams below Message.
func collectModels(rs []resource) []namedModel {
	events := map[string]bool{}
	for _, r := range rs {
		for _, k := range r.Models.keys {
			for _, sub := range r.Models.values[k].SubTypes {
				events[sub] = sub != "Event"
			}
		}
	}
	var out []namedModel
	for _, r := range rs {
		for _, k := range r.Models.keys {
			if k == "Message" || k == "Event" {
				continue // EventBase is both
			}
			out = append(out, namedModel{k, events[k], r.Models.values[k]})
		}
	}
	slices.SortFunc(out, func(a, b namedModel) int { return strings.Compare(a.name, b.name) })
	return out
}

// member is a field of a generated struct with the call that decodes it.
type member struct {
	json, field, goType, decode string
	required                    bool
}

func members(m namedModel) []member {
	out := make([]member, 0, len(m.Properties.keys))
	for _, k := range m.Properties.keys {
		if m.event && k == "type" {
			continue
		}
		p := m.Properties.values[k]
		f := exported(k)
		x := member{json: k, field: f, required: p.Required}
		x.goType, x.decode = memberType(m.name+"."+k, p, "&v."+f)
		out = append(out, x)
	}
	return out
}

// memberType returns a member's Go type and the call that decodes it.
func memberType(path string, p property, ref string) (goType, decode string) {
	if t, ok := objectTypes[path]; ok {
		if t == "map[string]string" {
			return t, "s.stringMap(" + ref + ")"
		}
		return t, "decodeList(s, " + ref + ")"
	}
	switch p.Type {
	case "string":
		return "string", "s.string(" + ref + ")"
	case "int":
		return "int", "s.int(" + ref + ")"
	case "long":
		return "int64", "s.int64(" + ref + ")"
	case "double":
		return "float64", "s.float64(" + ref + ")"
	case "boolean":
		return "bool", "s.bool(" + ref + ")"
	case "Date":
		return "Time", "s.time(" + ref + ")"
	case "object":
		return "json.RawMessage", "s.raw(" + ref + ")"
	case "List[string]":
		return "[]string", "s.strings(" + ref + ")"
	}
	if elem, ok := strings.CutPrefix(p.Type, "List["); ok {
		return "[]" + modelName(strings.TrimSuffix(elem, "]")), "decodeList(s, " + ref + ")"
	}
	if p.Required {
		return modelName(p.Type), "s.object(" + ref + ")"
	}
	return "*" + modelName(p.Type), "decodePointer(s, " + ref + ")"
}

// emitModels writes the models that are not events.
func emitModels(ms []namedModel) string {
	var b strings.Builder
	for _, m := range ms {
		if !m.event {
			emitStruct(&b, m)
		}
	}
	emitEnums(&b, ms)
	return withJSON(b.String())
}

// withJSON adds the header and, where it is used, the import of encoding/json.
func withJSON(src string) string {
	if strings.Contains(src, "json.RawMessage") {
		return header + "import \"encoding/json\"\n\n" + src
	}
	return header + src
}

func emitStruct(b *strings.Builder, m namedModel) {
	goName := modelName(m.name)
	doc, ok := modelDocs[m.name]
	if !ok {
		doc = map[bool]string{true: "an event", false: "a model"}[m.event] + " of Asterisk"
	}
	for _, line := range wrap(goName+" is "+doc+".", 110) {
		fmt.Fprintf(b, "// %s\n", line)
	}
	ms := members(m)
	if len(ms) == 0 && !m.event {
		fmt.Fprintf(b, "type %s struct{}\n\nfunc (v *%s) member(s *scanner, _ []byte) { s.skip() }\n\n", goName, goName)
		return
	}
	fmt.Fprintf(b, "type %s struct {\n", goName)
	if m.event {
		b.WriteString("\tEventBase\n\n")
	}
	for _, x := range ms {
		if a := m.Properties.values[x.json].Allowed; a != nil && len(a.Values) > 0 {
			fmt.Fprintf(b, "\t// One of %s.\n", strings.Join(a.Values, ", "))
		}
		tag := x.json
		if !x.required {
			tag += ",omitempty"
			if x.goType == "Time" {
				tag = x.json + ",omitzero"
			}
		}
		fmt.Fprintf(b, "\t%s %s `json:%q`\n", x.field, x.goType, tag)
	}
	b.WriteString("}\n\n")

	fmt.Fprintf(b, "func (v *%s) member(s *scanner, key []byte) {\n", goName)
	if len(ms) == 0 {
		b.WriteString("\tv.EventBase.member(s, key)\n}\n\n")
		return
	}
	b.WriteString("\tswitch string(key) {\n")
	for _, x := range ms {
		fmt.Fprintf(b, "\tcase %q:\n\t\t%s\n", x.json, x.decode)
	}
	if m.event {
		b.WriteString("\tdefault:\n\t\tv.EventBase.member(s, key)\n\t}\n}\n\n")
		return
	}
	b.WriteString("\tdefault:\n\t\ts.skip()\n\t}\n}\n\n")
}

// emitEnums writes a constant for each value that a member may have.
func emitEnums(b *strings.Builder, ms []namedModel) {
	for _, m := range ms {
		for _, k := range m.Properties.keys {
			a := m.Properties.values[k].Allowed
			if a == nil || len(a.Values) == 0 {
				continue
			}
			prefix := modelName(m.name) + exported(k)
			if strings.HasSuffix(m.name, "State") {
				prefix = m.name
			}
			fmt.Fprintf(b, "// Values of %s.%s.\nconst (\n", modelName(m.name), exported(k))
			for _, v := range a.Values {
				fmt.Fprintf(b, "\t%s%s = %q\n", prefix, exported(strings.ToLower(v)), v)
			}
			b.WriteString(")\n\n")
		}
	}
}

// emitEvents writes the event types and the constructor by name.
func emitEvents(ms []namedModel) string {
	var b strings.Builder
	b.WriteString("// Names of the event types, as in EventBase.Type and Header.Type.\nconst (\n")
	for _, m := range ms {
		if m.event {
			fmt.Fprintf(&b, "\tType%s = %q\n", m.name, m.name)
		}
	}
	b.WriteString(")\n\n")
	b.WriteString("// newEvent returns an empty event of a type, or nil if the type is not known.\nfunc newEvent(name []byte) decodedEvent {\n\tswitch string(name) {\n")
	for _, m := range ms {
		if m.event {
			fmt.Fprintf(&b, "\tcase Type%s:\n\t\treturn new(%s)\n", m.name, modelName(m.name))
		}
	}
	b.WriteString("\t}\n\treturn nil\n}\n\n")
	b.WriteString("// typeName returns the constant for a known event type, which costs no allocation, or a copy of an unknown one.\nfunc typeName(name []byte) string {\n\tswitch string(name) {\n")
	for _, m := range ms {
		if m.event {
			fmt.Fprintf(&b, "\tcase Type%s:\n\t\treturn Type%s\n", m.name, m.name)
		}
	}
	b.WriteString("\t}\n\treturn string(name)\n}\n\n")
	for _, m := range ms {
		if m.event {
			emitStruct(&b, m)
		}
	}
	return withJSON(b.String())
}
