package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// EnvPrefix begins the name of every environment variable that sets a value.
const EnvPrefix = "ASTERISM_"

// EnvFile names the variable that names the configuration file.
const EnvFile = EnvPrefix + "CONFIG"

// maxItems bounds the index of a list in a variable's name or a flag.
const maxItems = 1000

// applyEnv lays variables over cfg: ASTERISM_STORAGE_KIND is storage.kind,
// ASTERISM_NODES_0_ARI_URL is nodes[0].ari.url. It returns the names that set
// nothing; they are no errors, because Kubernetes adds variables for services
// whose names begin like ours.
func (l *loader) applyEnv(env []string, cfg *Config) (ignored []string) {
	slices.Sort(env) // lists grow from their first item
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		rest, ok := strings.CutPrefix(name, EnvPrefix)
		if !ok || name == EnvFile {
			continue
		}
		path := envPath(reflect.TypeFor[Config](), strings.ToLower(rest))
		if path == nil {
			ignored = append(ignored, name)
			continue
		}
		l.set(cfg, path, value, Origin{Other: "environment variable " + name})
	}
	return ignored
}

// envPath splits rest into the keys of t, or returns nil. Keys hold
// underscores themselves, so each key that fits is tried.
func envPath(t reflect.Type, rest string) []string {
	switch {
	case t.Kind() == reflect.Slice:
		number, after, more := strings.Cut(rest, "_")
		if rest == "" {
			return []string{}
		}
		if i, err := strconv.Atoi(number); err != nil || i < 0 || i > maxItems {
			return nil
		}
		if !more {
			after = ""
		}
		if tail := envPath(t.Elem(), after); tail != nil {
			return append([]string{number}, tail...)
		}
		return nil
	case t.Kind() != reflect.Struct:
		if rest == "" {
			return []string{}
		}
		return nil
	}
	fs := fields(t)
	for _, name := range fs.names {
		after, ok := strings.CutPrefix(rest, name)
		if !ok || (after != "" && after[0] != '_') {
			continue
		}
		if tail := envPath(t.Field(fs.index[name]).Type, strings.TrimPrefix(after, "_")); tail != nil {
			return append([]string{name}, tail...)
		}
	}
	return nil
}

// applySet lays "path=value" pairs of the command line over cfg.
func (l *loader) applySet(sets []string, cfg *Config) {
	for _, kv := range sets {
		o := Origin{Other: "--set"}
		path, value, ok := strings.Cut(kv, "=")
		if !ok {
			l.problem(o, "", "%q has no value; expected key=value, such as storage.kind=memory", kv)
			continue
		}
		l.set(cfg, strings.Split(strings.NewReplacer("[", ".", "]", "").Replace(path), "."), value, o)
	}
}

// set stores one value given as text; a list of texts is separated by commas.
func (l *loader) set(cfg *Config, keys []string, value string, o Origin) {
	v, path := reflect.ValueOf(cfg).Elem(), ""
	for _, key := range keys {
		switch v.Kind() {
		case reflect.Struct:
			fs := fields(v.Type())
			i, ok := fs.index[key]
			path = join(path, key)
			if !ok {
				l.problem(o, path, "%s", unknown(key, fs.names))
				return
			}
			v = v.Field(i)
		case reflect.Slice:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i > maxItems {
				l.problem(o, path, "%q is not an index; expected a number from 0", key)
				return
			}
			grow(v, i)
			path, v = fmt.Sprintf("%s[%d]", path, i), v.Index(i)
		default:
			l.problem(o, join(path, key), "is not a known key; %s is a single value", path)
			return
		}
	}
	l.origins[path] = o
	if v.Type() == reflect.TypeFor[[]string]() {
		v.Set(reflect.ValueOf(splitList(value)))
		return
	}
	if err := setScalar(v, value); err != nil {
		l.problem(o, path, "%v", err)
	}
}

func splitList(s string) []string {
	var out []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			out = append(out, item)
		}
	}
	return out
}
