package stack

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"asterism/e2e/telephony"
)

// Options say what to start. The zero value is what "make run" starts.
type Options struct {
	// Dir holds everything that changes. Default .run in the project.
	Dir string
	// Binary is the program. Default bin/asterism in the project.
	Binary string
	// Nodes is the number of Asterisks, each with a gateway. Default 1.
	Nodes int
	// Split makes each role a process of its own. Default is "asterism run".
	Split bool
	// Workers is how many there are when split. Default 1.
	Workers int
	// Addresses are the loopback addresses of the nodes, for SIP (5060) and
	// ARI (8088). Default 127.0.0.2, 127.0.0.3, ….
	Addresses []string
	// HTTP is where the first process serves HTTP; the others take the ports
	// after it. Gateways come first, then workers, then NATS. Default
	// 127.0.0.1:8080.
	HTTP string
	// NATS is where NATS listens when split. Default 127.0.0.1:4222.
	NATS string
	// Storage is where objects are kept. Default a directory in Dir.
	Storage Storage
	// Set overrides keys of the configuration in every process, as --set does:
	// "log.level=debug".
	Set []string
	// Drain bounds how long calls are waited for by Stop. Default 5 s.
	Drain time.Duration
	// NoRestart leaves a process that has died dead.
	NoRestart bool
	// Liveness, when set, is how long a role may leave /healthz unanswered
	// before it is killed, and started again, as a Kubernetes probe would.
	Liveness time.Duration
	// Relays lets the gateways reach NATS, ARI and S3 through relays that can be
	// cut, see [Stack.Relay]. It needs Split.
	Relays bool
	// Asterisk changes how each Asterisk is started; n counts from 1.
	Asterisk func(n int, o *telephony.Options)
	// Note tells a person what happens. Default is silence.
	Note func(format string, args ...any)
}

// Storage chooses the object storage.
type Storage struct {
	// S3, when set, is used instead of a directory.
	S3 *S3
	// Dir is the directory. Default "storage" in Options.Dir.
	Dir string
}

// S3 is an S3 service that is running already.
type S3 struct {
	Endpoint, Bucket, Prefix string
	AccessKey, SecretKey     string
	TLS                      bool
}

// maxNodes and maxWorkers bound what one machine is asked to run.
const (
	maxNodes   = 32
	maxWorkers = 64
)

// complete fills in the defaults and says what makes no sense.
func (o *Options) complete() error {
	project, err := telephony.ProjectDir()
	if err != nil {
		return err
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(project, ".run")
	}
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	if o.Binary == "" {
		o.Binary = filepath.Join(project, "bin", "asterism")
	}
	if _, err := os.Stat(o.Binary); err != nil {
		return fmt.Errorf("%w; expected it to be built by make build", err)
	}
	o.Nodes, o.Workers = max(o.Nodes, 1), max(o.Workers, 1)
	if o.Nodes > maxNodes || o.Workers > maxWorkers {
		return fmt.Errorf("%d nodes and %d workers are too many for one machine; expected at most %d and %d", o.Nodes, o.Workers, maxNodes, maxWorkers)
	}
	if !o.Split && o.Workers > 1 {
		return errors.New("several workers need processes of their own; expected SPLIT=1 as well")
	}
	if !o.Split && o.Relays {
		return errors.New("relays need gateways that are processes of their own; expected Split as well")
	}
	for n := len(o.Addresses); n < o.Nodes; n++ {
		o.Addresses = append(o.Addresses, fmt.Sprintf("127.0.0.%d", n+2))
	}
	if o.HTTP == "" {
		o.HTTP = "127.0.0.1:8080"
	}
	if o.NATS == "" {
		o.NATS = "127.0.0.1:4222"
	}
	if o.Storage.Dir == "" {
		o.Storage.Dir = filepath.Join(o.Dir, "storage")
	}
	if o.Drain == 0 {
		o.Drain = 5 * time.Second
	}
	if o.Note == nil {
		o.Note = func(string, ...any) {}
	}
	return nil
}

// httpAddress is where the n-th process (from 0) serves HTTP.
func (o *Options) httpAddress(n int) (string, error) {
	host, port, err := net.SplitHostPort(o.HTTP)
	if err != nil {
		return "", fmt.Errorf("HTTP address: %w", err)
	}
	first, err := strconv.Atoi(port)
	if err != nil {
		return "", fmt.Errorf("HTTP address: port: %w", err)
	}
	return net.JoinHostPort(host, strconv.Itoa(first+n)), nil
}
