package config

import (
	"path/filepath"
	"time"

	"asterism/sip"
)

// Config is the whole configuration. The keys in YAML are the tags; example.yaml
// documents each of them and is held to the defaults by a test.
type Config struct {
	Log     Log     `yaml:"log"`
	HTTP    HTTP    `yaml:"http"`
	Nodes   []Node  `yaml:"nodes"`
	Storage Storage `yaml:"storage"`
	NATS    NATS    `yaml:"nats"`
	Worker  Worker  `yaml:"worker"`
	Trust   Trust   `yaml:"trust"`
	Calls   Calls   `yaml:"calls"`

	// Language is the BCP 47 tag of calls that bring none.
	Language string `yaml:"language"`
	// Drain is how long a role that is told to stop waits for its calls.
	Drain time.Duration `yaml:"drain"`

	// File is the configuration file that was read; "" when there was none.
	File string `yaml:"-"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // trace, debug, info, warn or error
	Format string `yaml:"format"` // console or json
}

// HTTP is the listener for health, readiness and metrics.
type HTTP struct {
	Listen    string `yaml:"listen"` // host:port; "" is no listener
	Token     Secret `yaml:"token"`
	TokenFile string `yaml:"token_file"`
	Pprof     bool   `yaml:"pprof"`
}

// Node is one Asterisk and the gateway beside it.
type Node struct {
	// Name is unique on the platform; "" is the host's name.
	Name  string `yaml:"name"`
	ARI   ARI    `yaml:"ari"`
	Media Media  `yaml:"media"`
	Spool Spool  `yaml:"spool"`
}

// ARI is how the gateway reaches its Asterisk.
type ARI struct {
	URL          string `yaml:"url"` // http://host:port/ari
	User         string `yaml:"user"`
	Password     Secret `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

// Media is the node's cache of prompts, a volume shared with Asterisk.
type Media struct {
	Dir     string `yaml:"dir"`
	MaxSize Size   `yaml:"max_size"`
	// StaleIfError is how long after the storage was last asked about a
	// prompt the cached copy may still be played while the storage is down.
	StaleIfError time.Duration `yaml:"stale_if_error"`
}

// Spool holds recordings under way and the logs of calls; a disk, shared with
// Asterisk.
type Spool struct {
	Dir string `yaml:"dir"`
	// KeyLog is the file in which Asterisk writes down each key, as its
	// logger.conf says: a name in Dir, or an absolute path. With "", keys that
	// are pressed while the gateway is away are lost.
	KeyLog string `yaml:"key_log"`
}

// KeyLogPath is the path of KeyLog, "" for none.
func (s Spool) KeyLogPath() string {
	if s.KeyLog == "" || filepath.IsAbs(s.KeyLog) {
		return s.KeyLog
	}
	return filepath.Join(s.Dir, s.KeyLog)
}

// Storage says where prompts and messages are kept.
type Storage struct {
	Kind string     `yaml:"kind"` // dir, s3 or memory
	Dir  StorageDir `yaml:"dir"`
	S3   S3         `yaml:"s3"`
}

// StorageDir keeps objects as files.
type StorageDir struct {
	Path string `yaml:"path"`
}

// S3 is any S3-compatible service.
type S3 struct {
	Endpoint      string `yaml:"endpoint"` // host or host:port, without a scheme
	Bucket        string `yaml:"bucket"`
	Prefix        string `yaml:"prefix"`
	Region        string `yaml:"region"`
	AccessKey     string `yaml:"access_key"`
	SecretKey     Secret `yaml:"secret_key"`
	SecretKeyFile string `yaml:"secret_key_file"`
	TLS           bool   `yaml:"tls"`
	CAFile        string `yaml:"ca_file"`
	VirtualHost   bool   `yaml:"virtual_host"` // the bucket is part of the host name
}

// NATS is how this process reaches NATS, and the server it may itself be.
type NATS struct {
	URLs         []string   `yaml:"urls"`
	User         string     `yaml:"user"` // "" is the name of the role
	Password     Secret     `yaml:"password"`
	PasswordFile string     `yaml:"password_file"`
	TLS          TLS        `yaml:"tls"`
	Server       NATSServer `yaml:"server"`
}

// NATSServer is the server inside "asterism run" and "asterism nats".
type NATSServer struct {
	// Listen is host:port; "" is no listener, for "asterism run" only.
	Listen              string `yaml:"listen"`
	GatewayPassword     Secret `yaml:"gateway_password"`
	GatewayPasswordFile string `yaml:"gateway_password_file"`
	WorkerPassword      Secret `yaml:"worker_password"`
	WorkerPasswordFile  string `yaml:"worker_password_file"`
	ReaderPassword      Secret `yaml:"reader_password"` // of who reads call records
	ReaderPasswordFile  string `yaml:"reader_password_file"`
	TLS                 TLS    `yaml:"tls"`
	// Store is the directory of JetStream; "" switches it off.
	Store string `yaml:"store"`
	// Name is unique in a cluster; "" is the host's name.
	Name    string      `yaml:"name"`
	Cluster NATSCluster `yaml:"cluster"`
}

// NATSCluster makes "asterism nats" one of several servers.
type NATSCluster struct {
	Listen       string   `yaml:"listen"` // host:port for the other servers; "" is no cluster
	Routes       []string `yaml:"routes"` // host:port of the others
	Password     Secret   `yaml:"password"`
	PasswordFile string   `yaml:"password_file"`
	TLS          TLS      `yaml:"tls"`
}

// TLS names PEM files.
type TLS struct {
	CAFile   string `yaml:"ca_file"`
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// Worker is a member of the pool.
type Worker struct {
	Name     string `yaml:"name"`     // unique; "" is the host's name and process id
	Capacity int    `yaml:"capacity"` // calls at once
}

// Trust says which signatures of the edge are believed. Without keys the
// network alone is trusted.
type Trust struct {
	Keys   []Key         `yaml:"keys"`
	MaxAge time.Duration `yaml:"max_age"`
}

// Calls says where call records go.
type Calls struct {
	Enabled bool   `yaml:"enabled"`
	Stream  string `yaml:"stream"`
	// The limits of the stream, which is created with them when it is missing.
	MaxAge   time.Duration `yaml:"max_age"`
	MaxBytes Size          `yaml:"max_bytes"`
	Replicas int           `yaml:"replicas"`
}

// Key is one key for X-Asterisk-Signature.
type Key struct {
	ID      string `yaml:"id"`
	Key     Secret `yaml:"key"`
	KeyFile string `yaml:"key_file"`
}

// Default returns the configuration that holds where nothing is said.
func Default() Config {
	return Config{
		Log:   Log{Level: "info", Format: "console"},
		HTTP:  HTTP{Listen: "127.0.0.1:8080"},
		Nodes: []Node{defaultNode()},
		Storage: Storage{
			Kind: "dir",
			Dir:  StorageDir{Path: "/var/lib/asterism/storage"},
			S3:   S3{Region: "us-east-1", TLS: true},
		},
		Worker:   Worker{Capacity: 50_000},
		NATS:     NATS{Server: NATSServer{Store: "/var/lib/asterism/nats"}},
		Trust:    Trust{MaxAge: sip.DefaultMaxAge},
		Calls:    Calls{Enabled: true, Stream: "CALLS", MaxAge: 7 * 24 * time.Hour, MaxBytes: 1 << 30, Replicas: 1},
		Language: "en",
		Drain:    time.Hour,
	}
}

// defaultNode is what each item of nodes starts from.
func defaultNode() Node {
	return Node{
		ARI:   ARI{URL: "http://127.0.0.1:8088/ari", User: "asterism"},
		Media: Media{Dir: "/var/lib/asterism/media", MaxSize: 2 << 30, StaleIfError: 24 * time.Hour},
		Spool: Spool{Dir: "/var/lib/asterism/spool", KeyLog: "keys.log"},
	}
}
