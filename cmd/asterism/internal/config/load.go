package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Role is what a process is; it decides which parts of a configuration must be
// complete.
type Role string

// The roles, by the subcommand that takes them.
const (
	RoleRun     Role = "run"
	RoleGateway Role = "gateway"
	RoleWorker  Role = "worker"
	RoleNATS    Role = "nats"
	RoleMedia   Role = "media" // the tools that only need the storage
)

// sections are the parts of a configuration that a role uses.
var sections = map[Role][]string{
	RoleRun:     {"log", "http", "nodes", "storage", "nats", "worker", "trust", "calls", "language", "drain"},
	RoleGateway: {"log", "http", "nodes", "storage", "nats", "trust", "calls", "language", "drain"},
	RoleWorker:  {"log", "http", "nats", "worker", "language", "drain"},
	RoleNATS:    {"log", "http", "nats", "calls", "drain"},
	RoleMedia:   {"log", "storage"},
}

// Options says where values come from.
type Options struct {
	// File is the file asked for by name; "" means the first of
	// $ASTERISM_CONFIG and [SearchPath] that exists, and none is fine.
	File string
	Role Role
	// Env holds NAME=value pairs, as from [os.Environ].
	Env []string
	// Set holds key=value pairs of the command line, the strongest.
	Set []string
}

// SearchPath is where a configuration file is looked for when none is named.
var SearchPath = []string{"asterism.yaml", ".run/asterism.yaml", "/etc/asterism/asterism.yaml"}

// Result is a configuration, with what a person may want to know about it.
type Result struct {
	Config Config
	// Ignored names environment variables that begin like ours and set
	// nothing.
	Ignored []string
}

// Load reads the configuration for a role. When something is wrong its error
// is [Problems], which holds everything found.
func Load(o Options) (Result, error) {
	cfg := Default()
	l := &loader{origins: make(map[string]Origin)}
	file, data, problem := find(o)
	if problem != nil {
		return Result{}, Problems{*problem}
	}
	if file != "" {
		l.file, cfg.File = file, file
		if !l.decodeFile(data, &cfg) {
			return Result{}, l.problems
		}
		rebase(&cfg, filepath.Dir(file))
	}
	r := Result{Ignored: l.applyEnv(o.Env, &cfg)}
	l.applySet(o.Set, &cfg)
	l.check(&cfg, o.Role)
	if len(l.problems) > 0 {
		l.problems.sort()
		return Result{}, l.problems
	}
	r.Config = cfg
	return r, nil
}

// find returns the file to read and its content; "" when there is none.
func find(o Options) (string, []byte, *Problem) {
	name, why := o.File, "--config"
	if name == "" {
		for _, kv := range o.Env {
			if v, ok := strings.CutPrefix(kv, EnvFile+"="); ok && v != "" {
				name, why = v, EnvFile
			}
		}
	}
	if name != "" {
		data, err := os.ReadFile(name)
		if err != nil {
			return "", nil, &Problem{Origin: Origin{Other: why}, Text: "cannot read the configuration file: " + err.Error()}
		}
		return name, data, nil
	}
	for _, name := range SearchPath {
		data, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", nil, &Problem{Text: "cannot read the configuration file: " + err.Error()}
		}
		return name, data, nil
	}
	return "", nil, nil
}

// rebase makes relative paths of a file relative to the file, so that it means
// the same wherever a process starts.
func rebase(cfg *Config, dir string) {
	for _, p := range paths(cfg) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
}

func paths(cfg *Config) []*string {
	s := &cfg.NATS.Server
	out := []*string{
		&cfg.HTTP.TokenFile, &cfg.Storage.Dir.Path, &cfg.Storage.S3.SecretKeyFile, &cfg.Storage.S3.CAFile,
		&cfg.NATS.PasswordFile, &s.GatewayPasswordFile, &s.WorkerPasswordFile, &s.ReaderPasswordFile, &s.Store, &s.Cluster.PasswordFile,
	}
	for _, t := range []*TLS{&cfg.NATS.TLS, &s.TLS, &s.Cluster.TLS} {
		out = append(out, &t.CAFile, &t.CertFile, &t.KeyFile)
	}
	for i := range cfg.Nodes {
		n := &cfg.Nodes[i]
		out = append(out, &n.ARI.PasswordFile, &n.Media.Dir, &n.Spool.Dir)
	}
	for i := range cfg.Trust.Keys {
		out = append(out, &cfg.Trust.Keys[i].KeyFile)
	}
	return out
}

// secretRef is a secret and the file that may hold it instead.
type secretRef struct {
	path   string // of the secret; the file's is path + "_file"
	secret *Secret
	file   string
}

func secrets(cfg *Config) []secretRef {
	n, s := &cfg.NATS, &cfg.NATS.Server
	out := []secretRef{
		{"http.token", &cfg.HTTP.Token, cfg.HTTP.TokenFile},
		{"storage.s3.secret_key", &cfg.Storage.S3.SecretKey, cfg.Storage.S3.SecretKeyFile},
		{"nats.password", &n.Password, n.PasswordFile},
		{"nats.server.gateway_password", &s.GatewayPassword, s.GatewayPasswordFile},
		{"nats.server.reader_password", &s.ReaderPassword, s.ReaderPasswordFile},
		{"nats.server.cluster.password", &s.Cluster.Password, s.Cluster.PasswordFile},
		{"nats.server.worker_password", &s.WorkerPassword, s.WorkerPasswordFile},
	}
	for i := range cfg.Nodes {
		a := &cfg.Nodes[i].ARI
		out = append(out, secretRef{fmt.Sprintf("nodes[%d].ari.password", i), &a.Password, a.PasswordFile})
	}
	for i := range cfg.Trust.Keys {
		k := &cfg.Trust.Keys[i]
		out = append(out, secretRef{fmt.Sprintf("trust.keys[%d].key", i), &k.Key, k.KeyFile})
	}
	return out
}

// readSecrets fills in the secrets that are in files.
func (v *validator) readSecrets() {
	for _, ref := range secrets(v.cfg) {
		path := ref.path + "_file"
		switch {
		case ref.file == "" || !v.uses(path):
			continue
		case *ref.secret != "":
			v.wrong(path, "is set beside %s; expected one of the two", ref.path)
			continue
		}
		data, err := os.ReadFile(ref.file)
		if err != nil {
			v.wrong(path, "cannot be read: %v", err)
			continue
		}
		*ref.secret = Secret(strings.TrimRight(string(data), "\r\n"))
		if *ref.secret == "" {
			v.wrong(path, "%s is empty; expected the secret in it", ref.file)
		}
	}
}
