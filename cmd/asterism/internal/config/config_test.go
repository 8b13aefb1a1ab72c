package config

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const divider = "----------\n"

// TestGolden reads each file of testdata: YAML, a line of dashes, and every
// problem that must be found, or "ok".
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, golden := range files {
		t.Run(strings.TrimSuffix(filepath.Base(golden), ".golden"), func(t *testing.T) {
			data, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(string(data), divider)
			if !ok {
				t.Fatalf("%s has no line of dashes", golden)
			}
			file := filepath.Join(t.TempDir(), "asterism.yaml")
			if err := os.WriteFile(file, []byte(input), 0o600); err != nil {
				t.Fatal(err)
			}
			got := "ok\n"
			if _, err := Load(Options{File: file, Role: RoleRun}); err != nil {
				got = strings.ReplaceAll(err.Error(), filepath.Dir(file)+"/", "") + "\n"
			}
			if *update {
				if err := os.WriteFile(golden, []byte(input+divider+got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got != want {
				t.Errorf("problems found:\n%swant:\n%s", got, want)
			}
		})
	}
}

func TestExampleHoldsTheDefaults(t *testing.T) {
	l := &loader{file: "example.yaml", origins: make(map[string]Origin)}
	got := Default()
	l.decodeFile([]byte(Example), &got)
	if len(l.problems) > 0 {
		t.Fatal(l.problems)
	}
	got.NATS.URLs, got.NATS.Server.Cluster.Routes, got.Trust.Keys = nil, nil, nil // empty in the file, nil by default
	if want := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("example.yaml gives\n%+v\nwant the defaults\n%+v", got, want)
	}
	for _, path := range leaves(reflect.TypeFor[Config](), "") {
		key := path[strings.LastIndexByte(path, '.')+1:]
		_, set := l.origins[strings.Replace(path, "nodes[]", "nodes[0]", 1)]
		commented := regexp.MustCompile(`(?m)^\s*#\s+(- )?` + key + ":")
		if !set && !commented.MatchString(Example) {
			t.Errorf("example.yaml does not mention %s", path)
		}
	}
}

func leaves(t reflect.Type, path string) []string {
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return leaves(t.Elem(), path+"[]")
	case t.Kind() != reflect.Struct:
		return []string{path}
	}
	var out []string
	fs := fields(t)
	for _, name := range fs.names {
		out = append(out, leaves(t.Field(fs.index[name]).Type, join(path, name))...)
	}
	return out
}

func TestPrecedence(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	secret := filepath.Join(dir, "pw")
	write(t, secret, "sesame\n")
	write(t, file, `
log: {level: debug, format: json}
http: {listen: "127.0.0.1:1"}
nodes:
  - {name: one, ari: {password_file: pw}, media: {dir: m}, spool: {dir: /s}}
`)
	r, err := Load(Options{
		File: file,
		Role: RoleGateway,
		Env: []string{
			"ASTERISM_LOG_FORMAT=console", "ASTERISM_HTTP_LISTEN=127.0.0.1:2",
			"ASTERISM_NODES_1_NAME=two", "ASTERISM_NODES_1_ARI_PASSWORD=x",
			"ASTERISM_NODES_1_MEDIA_DIR=/m2", "ASTERISM_NODES_1_SPOOL_DIR=/s2",
			"ASTERISM_NATS_URLS=nats://a:1, nats://b:2", "ASTERISM_WORKER_PORT=tcp://10.0.0.1:80", "HOME=/",
		},
		Set: []string{"http.listen=127.0.0.1:3", "nodes[1].name=zwei", "storage.dir.path=there"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := r.Config
	got := []any{
		c.Log.Level, c.Log.Format, c.HTTP.Listen, c.Nodes[0].ARI.Password.Reveal(), c.Nodes[0].Media.Dir,
		c.Nodes[0].ARI.URL, c.Nodes[1].Name, c.Nodes[1].Media.MaxSize, c.NATS.URLs, c.Storage.Dir.Path, r.Ignored,
	}
	want := []any{
		"debug", "console", "127.0.0.1:3", "sesame", filepath.Join(dir, "m"),
		"http://127.0.0.1:8088/ari", "zwei", Size(2 << 30),
		[]string{"nats://a:1", "nats://b:2"},
		"there",
		[]string{"ASTERISM_WORKER_PORT"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestOverridesSayWhatIsWrong(t *testing.T) {
	for _, tc := range []struct{ env, set, want string }{
		{"ASTERISM_DRAIN=soon", "", `environment variable ASTERISM_DRAIN: drain: "soon" is not a duration`},
		{"", "storage.knid=s3", `--set: storage.knid: is not a known key; did you mean "kind"?`},
		{"", "drain", `--set: "drain" has no value`},
		{"", "log.level.x=1", `--set: log.level.x: is not a known key; log.level is a single value`},
		{"", "nodes[x].name=1", `"x" is not an index`},
		{"", "nodes=1", `--set: nodes: cannot be set from one value; expected a list of mappings`},
		{"ASTERISM_CONFIG=/does/not/exist", "", `ASTERISM_CONFIG: cannot read the configuration file`},
	} {
		o := Options{Role: RoleMedia, Env: []string{tc.env}}
		if tc.set != "" {
			o.Set = []string{tc.set}
		}
		_, err := Load(o)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("env %q set %q: error %v; want one with %q", tc.env, tc.set, err, tc.want)
		}
	}
}

// What `asterism check` accepts must not fail later, at the start or at the
// first call.
func TestWhatFailsLaterFailsHere(t *testing.T) {
	for _, set := range []string{"language=english", "language=en-a", "nodes[0].ari.url=https://127.0.0.1:8088/ari"} {
		path, _, _ := strings.Cut(set, "=")
		_, err := Load(Options{Role: RoleRun, Set: []string{set, "nodes[0].ari.password=x"}})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v; want one about %s", set, err, path)
		}
	}
	if _, err := Load(Options{Role: RoleRun, Set: []string{"language=zh-Hant-TW", "nodes[0].ari.password=x"}}); err != nil {
		t.Error(err)
	}
}

func TestRolesNeedWhatTheyUse(t *testing.T) {
	for _, tc := range []struct {
		role Role
		want []string // paths of the problems with defaults only
	}{
		{RoleMedia, nil},
		{RoleRun, []string{"nodes[0].ari.password"}},
		{RoleGateway, []string{"nats.urls", "nodes[0].ari.password"}},
		{RoleWorker, []string{"nats.urls"}},
		{RoleNATS, []string{"nats.server.gateway_password", "nats.server.listen", "nats.server.worker_password"}},
	} {
		_, err := Load(Options{Role: tc.role})
		var ps Problems
		errors.As(err, &ps)
		var got []string
		for _, p := range ps {
			got = append(got, p.Path)
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: problems with %v; want %v", tc.role, got, tc.want)
		}
	}
}

func TestSecretsAreNotSeen(t *testing.T) {
	c := Default()
	c.Nodes[0].ARI.Password, c.HTTP.Token = "sesame", "sesame"
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x %s %s", c, c, c, c.HTTP.Token, c.HTTP.Token, c.HTTP.Token, j, y)
	if strings.Contains(all, "sesame") || strings.Contains(all, "736573616d65") {
		t.Errorf("a secret shows in %s", all)
	}
}

func TestSize(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Size
		back string
	}{
		{"0", 0, "0B"},
		{"1024", 1024, "1KiB"},
		{"10MB", 10_000_000, "10000000B"},
		{"2 GiB", 2 << 30, "2GiB"},
		{"-1", -1, ""},
		{"9999999TiB", -1, ""},
		{"many", -1, ""},
	} {
		got, err := ParseSize(tc.in)
		if (err != nil) != (tc.want < 0) || (err == nil && (got != tc.want || got.String() != tc.back)) {
			t.Errorf("ParseSize(%q) = %d %q, %v; want %d %q", tc.in, got, got, err, tc.want, tc.back)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"listen", "token", "token_file", "pprof"}
	for got, want := range map[string]string{"lsiten": "listen", "tokenfile": "token_file", "Token": "token", "zzz": ""} {
		if n := nearest(got, names); n != want {
			t.Errorf("nearest(%q) = %q; want %q", got, n, want)
		}
	}
}

// FuzzLoad looks for files that break the reader, and for problems that do not
// say where they are.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(Example))
	f.Add([]byte("a: &a [*a]\nnodes: *a\n"))
	f.Add([]byte("log: &l {level: *l}\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &loader{file: "x.yaml", origins: make(map[string]Origin)}
		cfg := Default()
		if l.decodeFile(data, &cfg) {
			l.check(&cfg, RoleRun)
		}
		for _, p := range l.problems {
			if p.Text == "" || p.String() == p.Text {
				t.Errorf("problem %#v says too little", p)
			}
		}
		if cfg.Drain < 0 && len(l.problems) == 0 {
			t.Errorf("drain %v passed", cfg.Drain)
		}
	})
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
