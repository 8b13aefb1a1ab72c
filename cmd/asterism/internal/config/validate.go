package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of values.
const (
	minMediaSize = 1 << 20
	maxCapacity  = 1_000_000
	minKeyBytes  = 16
	// Shorter than the time in which doubled records are recognised makes no
	// stream.
	minCallsAge   = 10 * time.Minute
	minCallsBytes = 1 << 20
)

var (
	nameRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)
	keyRE  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	// As the media cache has them: with any other, no prompt would be found.
	languageRE = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)
)

// validator checks what a decoder cannot: meanings, limits and what a role
// needs.
type validator struct {
	*loader
	cfg  *Config
	role Role
}

func (l *loader) check(cfg *Config, role Role) {
	if role == "" {
		role = RoleRun
	}
	v := &validator{loader: l, cfg: cfg, role: role}
	v.fillNames()
	v.readSecrets()
	v.log()
	v.http()
	v.nodes()
	v.storage()
	v.nats()
	v.worker()
	v.trust()
	v.calls()
	v.match("language", cfg.Language, languageRE, "a language tag such as en or it-IT")
	if cfg.Drain < 0 {
		v.wrong("drain", "%v is negative; expected 0s or more", cfg.Drain)
	}
}

// uses reports whether the role looks at that part of the configuration.
func (v *validator) uses(path string) bool {
	section, _, _ := strings.Cut(path, ".")
	section, _, _ = strings.Cut(section, "[")
	return slices.Contains(sections[v.role], section)
}

// wrong notes a problem, once a path, unless the role has no use for it.
func (v *validator) wrong(path, format string, args ...any) {
	same := func(p Problem) bool { return p.Path == path }
	if v.uses(path) && !slices.ContainsFunc(v.problems, same) {
		v.problem(v.origin(path), path, format, args...)
	}
}

func (v *validator) match(path, value string, re *regexp.Regexp, want string) {
	if !re.MatchString(value) {
		v.wrong(path, "%q is not valid; expected %s", value, want)
	}
}

func (v *validator) oneOf(path, value string, of ...string) {
	if slices.Contains(of, value) {
		return
	}
	if n := nearest(value, of); n != "" {
		v.wrong(path, "%q is not known; did you mean %q?", value, n)
		return
	}
	v.wrong(path, "%q is not known; expected one of %s", value, strings.Join(of, ", "))
}

// fillNames gives node and worker the names they have when none is given.
func (v *validator) fillNames() {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	host = strings.ReplaceAll(host, ".", "-")
	for i := range v.cfg.Nodes {
		if n := &v.cfg.Nodes[i]; n.Name == "" {
			n.Name = host
		}
	}
	if s := &v.cfg.NATS.Server; s.Name == "" {
		s.Name = host
	}
	if v.cfg.Worker.Name == "" {
		v.cfg.Worker.Name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
}

func (v *validator) log() {
	v.oneOf("log.level", v.cfg.Log.Level, "trace", "debug", "info", "warn", "error")
	v.oneOf("log.format", v.cfg.Log.Format, "console", "json")
}

func (v *validator) http() {
	h := v.cfg.HTTP
	if h.Listen == "" {
		return
	}
	v.listen("http.listen", h.Listen)
	if !Loopback(h.Listen) && h.Token == "" {
		v.wrong("http.listen", "%s can be reached from other machines; expected http.token_file with a token that they must bring, or a loopback address", h.Listen)
	}
}

// listen checks an address to listen on.
func (v *validator) listen(path, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		v.wrong(path, "%q is not an address; expected host:port, such as 127.0.0.1:8080", address)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		v.wrong(path, "%q is not a port; expected a number from 0 to 65535", port)
		return
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		v.wrong(path, "%q is not an IP address; expected one of this machine, or nothing for all of them", host)
	}
}

// Loopback reports whether a listener on host:port can be reached from its own
// machine only.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

func (v *validator) nodes() {
	if len(v.cfg.Nodes) == 0 {
		v.wrong("nodes", "is empty; expected at least one node")
	}
	// What two nodes must not share, and who has it already.
	taken := make(map[string]string)
	unique := func(path, kind, value string) {
		if first, ok := taken[kind+value]; ok {
			v.wrong(path, "%q is also that of %s; expected one of its own", value, first)
			return
		}
		taken[kind+value] = path
	}
	for i, n := range v.cfg.Nodes {
		at := fmt.Sprintf("nodes[%d]", i)
		v.match(at+".name", n.Name, nameRE, "up to 63 letters, digits, - and _")
		unique(at+".name", "name ", n.Name)
		v.ari(at+".ari", n.ARI)
		v.path(at+".media.dir", n.Media.Dir)
		v.path(at+".spool.dir", n.Spool.Dir)
		if k := n.Spool.KeyLog; k != "" && !filepath.IsAbs(k) && !filepath.IsLocal(k) {
			v.wrong(at+".spool.key_log", "%q leads out of spool.dir; expected a name in it, or an absolute path", k)
		} else if k != "" {
			// Each Asterisk gives its channels the same names.
			unique(at+".spool.key_log", "key log ", n.Spool.KeyLogPath())
		}
		unique(at+".media.dir", "dir ", n.Media.Dir)
		unique(at+".spool.dir", "dir ", n.Spool.Dir)
		if n.Media.MaxSize < minMediaSize {
			v.wrong(at+".media.max_size", "%v is too small for a cache; expected at least 1MiB", n.Media.MaxSize)
		}
		if n.Media.StaleIfError < 0 {
			v.wrong(at+".media.stale_if_error", "%v is negative; expected 0s or more", n.Media.StaleIfError)
		}
	}
}

func (v *validator) ari(at string, a ARI) {
	u, err := url.Parse(a.URL)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil {
		v.wrong(at+".url", "%q is not the address of ARI; expected http://host:port/ari, without user and password", a.URL)
	}
	if a.User == "" {
		v.wrong(at+".user", "is missing; expected the user of ari.conf")
	}
	if a.Password == "" {
		v.wrong(at+".password", "is missing; expected the password of ari.conf, here or in password_file")
	}
}

func (v *validator) path(path, value string) {
	if value == "" {
		v.wrong(path, "is missing; expected a directory")
	}
}

func (v *validator) storage() {
	s := v.cfg.Storage
	v.oneOf("storage.kind", s.Kind, "dir", "s3", "memory")
	switch s.Kind {
	case "dir":
		v.path("storage.dir.path", s.Dir.Path)
	case "memory":
		if v.role != RoleRun {
			v.wrong("storage.kind", "memory ends with its process; expected dir or s3, except for asterism run")
		}
	case "s3":
		v.file("storage.s3.ca_file", s.S3.CAFile)
		if s.S3.Endpoint == "" || strings.ContainsAny(s.S3.Endpoint, "/@ ") {
			v.wrong("storage.s3.endpoint", "%q is not an endpoint; expected host or host:port, without https://", s.S3.Endpoint)
		}
		if s.S3.Bucket == "" {
			v.wrong("storage.s3.bucket", "is missing; expected the name of a bucket that exists")
		}
		if strings.HasPrefix(s.S3.Prefix, "/") || strings.Contains(s.S3.Prefix, "..") {
			v.wrong("storage.s3.prefix", "%q is not a prefix of keys; expected one such as asterism/", s.S3.Prefix)
		}
		if (s.S3.AccessKey == "") != (s.S3.SecretKey == "") {
			v.wrong("storage.s3.access_key", "and secret_key go together; expected both or none")
		}
	}
}

func (v *validator) nats() {
	n := v.cfg.NATS
	for i, u := range n.URLs {
		p, err := url.Parse(u)
		if err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, p.Scheme) || p.Host == "" || p.User != nil {
			v.wrong(fmt.Sprintf("nats.urls[%d]", i), "%q is not the address of a NATS server; expected nats://host:4222 or tls://host:4222, without user and password", u)
		}
	}
	if len(n.URLs) == 0 && (v.role == RoleGateway || v.role == RoleWorker) {
		v.wrong("nats.urls", "is empty; expected the address of NATS, such as nats://127.0.0.1:4222")
	}
	if len(n.URLs) > 0 && v.role == RoleRun {
		v.wrong("nats.urls", "is set, but asterism run has NATS inside; expected an empty list, or asterism gateway and asterism worker")
	}
	v.tls("nats.tls", n.TLS)
	v.tls("nats.server.tls", n.Server.TLS)
	if n.Server.Listen != "" {
		v.listen("nats.server.listen", n.Server.Listen)
	} else if v.role == RoleNATS {
		v.wrong("nats.server.listen", "is missing; expected host:port, such as 127.0.0.1:4222")
	}
	v.cluster(n.Server)
	if v.role != RoleNATS && (v.role != RoleRun || n.Server.Listen == "") {
		return
	}
	for path, secret := range map[string]Secret{
		"nats.server.gateway_password": n.Server.GatewayPassword,
		"nats.server.worker_password":  n.Server.WorkerPassword,
	} {
		if secret == "" {
			v.wrong(path, "is missing; expected a password for that role, here or in %s_file, because the server listens", path[strings.LastIndexByte(path, '.')+1:])
		}
	}
}

// cluster checks what makes a NATS server one of several.
func (v *validator) cluster(s NATSServer) {
	v.match("nats.server.name", s.Name, nameRE, "up to 63 letters, digits, - and _")
	c := s.Cluster
	v.tls("nats.server.cluster.tls", c.TLS)
	if c.Listen == "" {
		if len(c.Routes) > 0 {
			v.wrong("nats.server.cluster.listen", "is missing; expected host:port for the servers of nats.server.cluster.routes, such as 10.0.0.5:6222")
		}
		return
	}
	v.listen("nats.server.cluster.listen", c.Listen)
	if v.role == RoleRun {
		v.wrong("nats.server.cluster.listen", "is set, but asterism run is one process; expected none, or asterism nats")
	}
	if c.Password == "" {
		v.wrong("nats.server.cluster.password", "is missing; expected one that all servers of the cluster have, here or in password_file")
	}
	for i, r := range c.Routes {
		if host, port, err := net.SplitHostPort(r); err != nil || host == "" || port == "" {
			v.wrong(fmt.Sprintf("nats.server.cluster.routes[%d]", i), "%q is not the address of a server; expected host:port, such as 10.0.0.5:6222", r)
		}
	}
	if c.TLS.CertFile != "" && c.TLS.CAFile == "" {
		v.wrong("nats.server.cluster.tls.ca_file", "is missing; expected who has signed the certificates of the other servers")
	}
}

func (v *validator) calls() {
	c := v.cfg.Calls
	v.match("calls.stream", c.Stream, nameRE, "up to 63 letters, digits, - and _")
	if c.MaxAge != 0 && c.MaxAge < minCallsAge {
		v.wrong("calls.max_age", "%v is too short; expected at least %v, or 0s for ever", c.MaxAge, minCallsAge)
	}
	if c.MaxBytes != 0 && c.MaxBytes < minCallsBytes {
		v.wrong("calls.max_bytes", "%v is too small; expected at least 1MiB, or 0B for no limit", c.MaxBytes)
	}
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		v.wrong("calls.replicas", "%d is not a number of replicas; expected 1, 3 or 5", c.Replicas)
	}
}

func (v *validator) tls(path string, t TLS) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		v.wrong(path, "has one of cert_file and key_file; expected both or none")
	}
	for key, file := range map[string]string{"ca_file": t.CAFile, "cert_file": t.CertFile, "key_file": t.KeyFile} {
		v.file(path+"."+key, file)
	}
}

// file checks that a file that is named can be looked at.
func (v *validator) file(path, name string) {
	if name == "" {
		return
	}
	if _, err := os.Stat(name); err != nil {
		v.wrong(path, "cannot be read: %v", err)
	}
}

func (v *validator) worker() {
	w := v.cfg.Worker
	v.match("worker.name", w.Name, nameRE, "up to 63 letters, digits, - and _")
	if w.Capacity < 1 || w.Capacity > maxCapacity {
		v.wrong("worker.capacity", "%d is out of range; expected 1 to %d calls", w.Capacity, maxCapacity)
	}
}

func (v *validator) trust() {
	seen := make(map[string]bool)
	for i, k := range v.cfg.Trust.Keys {
		at := fmt.Sprintf("trust.keys[%d]", i)
		v.match(at+".id", k.ID, keyRE, "up to 32 letters, digits, - and _")
		if seen[k.ID] {
			v.wrong(at+".id", "%q is there twice; expected one key an id", k.ID)
		}
		seen[k.ID] = true
		if len(k.Key) < minKeyBytes {
			v.wrong(at+".key", "has %d bytes; expected at least %d, here or in key_file", len(k.Key), minKeyBytes)
		}
	}
	if age := v.cfg.Trust.MaxAge; age < time.Second || age > 10*time.Minute {
		v.wrong("trust.max_age", "%v is out of range; expected 1s to 10m", age)
	}
}
