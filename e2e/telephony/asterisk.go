package telephony

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	asteriskconf "asterism/asterisk-conf"
)

// ErrNotReady is returned by StartAsterisk when Asterisk ended, or ctx did,
// before it answered. The error's text holds the end of its log.
var ErrNotReady = errors.New("asterisk did not become ready")

// Options says what an Asterisk is to be like.
type Options struct {
	// Dir holds everything that changes; it is made. Required. It must not
	// lie below /usr, /etc or /dev.
	Dir string
	// Address is the loopback address for SIP, RTP and ARI. Required.
	Address string
	// Name is systemname, unique on the platform. Default "asterisk-" and the address.
	Name string
	// Edge lists where calls may come from. Default 127.0.0.0/8.
	Edge []string
	// ARIPort is ARI's port on Address. Default 8088.
	ARIPort int
	// Binds are further directories that Asterisk must see, for instance the
	// media cache when it does not lie below Dir.
	Binds []Bind
	// Conf changes the parameters of the configuration before it is rendered.
	Conf func(*asteriskconf.Params)
	// Root is where it runs. Default: what Prepare returns.
	Root *Root
	// Realtime prefers Asterisk to everything ordinary on the machine, if the
	// kernel lets us ("asterisk -p"). On a busy machine its media would stall
	// otherwise, which tests that listen would take for a gap.
	Realtime bool
}

// Asterisk is a running Asterisk.
type Asterisk struct {
	*Process

	root   *Root
	params asteriskconf.Params
	dir    string
	binds  []Bind
	out    *output
}

// runDir is where the control socket is inside, so that its path is short
// however long Dir is.
const runDir = "/run/asterisk"

// startLimit bounds a start whose context has no deadline. A start takes about
// a second.
const startLimit = 30 * time.Second

// StartAsterisk renders the configuration, starts Asterisk and returns once
// ARI answers and every module is loaded, or with ErrNotReady after 30 s or
// when ctx ends. The context bounds the start only; whoever starts it calls
// Stop or Kill.
func StartAsterisk(ctx context.Context, o Options) (*Asterisk, error) {
	if o.Root == nil {
		root, err := Prepare(ctx, Config{})
		if err != nil {
			return nil, err
		}
		o.Root = root
	}
	a, err := newAsterisk(o)
	if err != nil {
		return nil, fmt.Errorf("start asterisk: %w", err)
	}
	if err := a.free(); err != nil {
		return nil, fmt.Errorf("start asterisk: %w", err)
	}
	args := []string{"-f", "-C", a.confPath()}
	if o.Realtime {
		args = append(args, "-p")
	}
	a.Process, err = o.Root.Start(ctx, Program{
		Name: "asterisk", Args: args,
		Binds: a.binds, Files: a.params.MaxFiles,
		Stdout: a.out, Stderr: a.out,
	})
	if err != nil {
		return nil, err
	}
	ready, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := a.awaitReady(ready); err != nil {
		return nil, errors.Join(err, a.Kill())
	}
	return a, nil
}

// newAsterisk makes the directories and the configuration.
func newAsterisk(o Options) (*Asterisk, error) {
	dir, err := filepath.Abs(o.Dir)
	if o.Dir == "" || err != nil {
		return nil, fmt.Errorf("directory %q: expected one for everything that changes", o.Dir)
	}
	if len(o.Edge) == 0 {
		o.Edge = []string{"127.0.0.0/8"}
	}
	if o.Name == "" {
		o.Name = "asterisk-" + strings.ReplaceAll(o.Address, ":", "-")
	}
	run := runDir
	if o.Root.dir == "/" {
		run = filepath.Join(dir, "run")
	}
	p := asteriskconf.Params{
		Name: o.Name, Address: o.Address, Edge: o.Edge, SIPPort: 5060,
		ARIAddress: o.Address, ARIPort: o.ARIPort, ARIUser: "asterism", ARIPassword: rand.Text(),
		ConfigDir: filepath.Join(dir, "etc"), RunDir: run, StateDir: filepath.Join(dir, "state"),
		SpoolDir: filepath.Join(dir, "spool"), LogDir: filepath.Join(dir, "log"), MaxFiles: 65536,
	}
	if p.ARIPort == 0 {
		p.ARIPort = 8088
	}
	if o.Conf != nil {
		o.Conf(&p)
	}
	for _, d := range []string{
		filepath.Join(dir, "run"), p.StateDir, filepath.Join(p.SpoolDir, "recording"), p.LogDir, filepath.Join(dir, "media"),
	} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make directories: %w", err)
		}
	}
	if err := asteriskconf.Write(p); err != nil {
		return nil, err
	}
	keyLog := p.KeyLog
	if keyLog == "" {
		keyLog = filepath.Join(p.SpoolDir, "keys.log")
	}
	// Asterisk would make a file that everybody may read.
	keys, err := os.OpenFile(keyLog, os.O_WRONLY|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("make key log: %w", err)
	}
	if err := keys.Close(); err != nil {
		return nil, fmt.Errorf("make key log: %w", err)
	}
	if o.Root.dir == "/" {
		if err := haveModules(p.ConfigDir, p.ModuleDir); err != nil {
			return nil, err
		}
	}
	// The log of an earlier run would be taken for this one's.
	if err := os.Remove(filepath.Join(p.LogDir, logName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old log: %w", err)
	}
	a := &Asterisk{root: o.Root, params: p, dir: dir, out: &output{max: 64 << 10}}
	a.binds = append([]Bind{{Source: dir}}, o.Binds...)
	if run == runDir {
		a.binds = append(a.binds, Bind{Source: filepath.Join(dir, "run"), Target: runDir})
	}
	return a, nil
}

// haveModules says which modules an installed Asterisk lacks; that of the root
// has them all.
func haveModules(configDir, moduleDir string) error {
	conf, err := os.ReadFile(filepath.Join(configDir, "modules.conf"))
	if err != nil {
		return fmt.Errorf("read the list of modules: %w", err)
	}
	var missing []string
	for line := range strings.Lines(string(conf)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "load = ")
		if !ok {
			continue
		}
		if _, err := os.Stat(filepath.Join(moduleDir, name)); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the installed asterisk lacks %s in %s", strings.Join(missing, ", "), moduleDir)
	}
	return nil
}

const logName = "messages.log"

// free says at once, and clearly, that somebody has the ports already.
// Asterisk would start without them and only say so in its log.
func (a *Asterisk) free() error {
	sip := net.JoinHostPort(a.params.Address, strconv.Itoa(a.params.SIPPort))
	udp, err := net.ListenPacket("udp", sip) //nolint:noctx // local and immediate.
	if err != nil {
		return fmt.Errorf("SIP address %s is taken or not of this machine: %w", sip, err)
	}
	defer udp.Close()
	ari := net.JoinHostPort(a.params.ARIAddress, strconv.Itoa(a.params.ARIPort))
	for _, addr := range []string{sip, ari} {
		l, err := net.Listen("tcp", addr) //nolint:noctx // local and immediate.
		if err != nil {
			return fmt.Errorf("address %s is taken or not of this machine: %w", addr, err)
		}
		l.Close()
	}
	return nil
}

func (a *Asterisk) awaitReady(ctx context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		if last = a.ping(ctx, client); last == nil {
			break
		}
		select {
		case <-tick.C:
		case <-a.Done():
			return fmt.Errorf("%w: %w\n%s", ErrNotReady, errors.Join(a.Err(), last), a.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w: %w\n%s", ErrNotReady, context.Cause(ctx), last, a.LogTail())
		}
	}
	// ARI answers before the last modules are loaded.
	if out, err := a.Command(ctx, "core waitfullybooted"); err != nil {
		return fmt.Errorf("%w: %w: %s\n%s", ErrNotReady, err, out, a.LogTail())
	}
	return nil
}

func (a *Asterisk) ping(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.ARIURL()+"/asterisk/ping", nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(a.ARIUser(), a.ARIPassword())
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("ARI answered %s", res.Status)
	}
	return nil
}

func (a *Asterisk) confPath() string { return filepath.Join(a.params.ConfigDir, "asterisk.conf") }

// Stop ends Asterisk, hanging up whatever is there, and waits until it is gone.
func (a *Asterisk) Stop(ctx context.Context) error { return a.Process.Stop(ctx, 5*time.Second) }

// Pause stops Asterisk in its tracks (SIGSTOP); Resume lets it go on.
func (a *Asterisk) Pause() error { return a.Signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (a *Asterisk) Resume() error { return a.Signal(syscall.SIGCONT) }

// ARIURL is the root of ARI, such as "http://127.0.0.2:8088/ari".
func (a *Asterisk) ARIURL() string {
	return "http://" + net.JoinHostPort(a.params.ARIAddress, strconv.Itoa(a.params.ARIPort)) + "/ari"
}

// ARIUser is ARI's user.
func (a *Asterisk) ARIUser() string { return a.params.ARIUser }

// ARIPassword is that user's password, made anew at each start.
func (a *Asterisk) ARIPassword() string { return a.params.ARIPassword }

// Address is the IP address of SIP and RTP.
func (a *Asterisk) Address() string { return a.params.Address }

// SIPAddress is where to send SIP, UDP and TCP, such as "127.0.0.2:5060".
func (a *Asterisk) SIPAddress() string {
	return net.JoinHostPort(a.params.Address, strconv.Itoa(a.params.SIPPort))
}

// EntityID is what ARI events carry as asterisk_id.
func (a *Asterisk) EntityID() string { return a.params.EntityID() }

// Name is systemname, with which ids of channels start.
func (a *Asterisk) Name() string { return a.params.Name }

// Dir is the directory given to StartAsterisk.
func (a *Asterisk) Dir() string { return a.dir }

// MediaDir is a directory that Asterisk and everybody else sees at the same
// path, meant for the media cache.
func (a *Asterisk) MediaDir() string { return filepath.Join(a.dir, "media") }

// SpoolDir is Asterisk's spool.
func (a *Asterisk) SpoolDir() string { return a.params.SpoolDir }

// RecordingDir is where ARI's recordings appear, named as in the request.
func (a *Asterisk) RecordingDir() string { return filepath.Join(a.params.SpoolDir, "recording") }

// LogPath is Asterisk's log file: notices, warnings and errors.
func (a *Asterisk) LogPath() string { return filepath.Join(a.params.LogDir, logName) }

// Log reads the log file.
func (a *Asterisk) Log() (string, error) {
	b, err := os.ReadFile(a.LogPath())
	if err != nil {
		return "", fmt.Errorf("read Asterisk's log: %w", err)
	}
	return string(b), nil
}

// Output is the end of what Asterisk wrote to its standard output and error:
// what it says before it has read logger.conf, and the console's copy of the log.
func (a *Asterisk) Output() string { return a.out.String() }

// LogTail is the end of what Asterisk wrote, for messages of failure.
func (a *Asterisk) LogTail() string {
	b, err := os.ReadFile(a.LogPath())
	if err != nil || len(b) == 0 {
		b = []byte(a.out.String())
	}
	const most = 4 << 10
	if len(b) > most {
		b = b[len(b)-most:]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return string(b)
}

// Command runs one command of Asterisk's command line ("core show channels
// concise") and returns what it prints.
func (a *Asterisk) Command(ctx context.Context, line string) (string, error) {
	out := &output{max: 4 << 20}
	err := a.root.run(ctx, Program{
		Name: "asterisk", Args: []string{"-C", a.confPath(), "-rx", line},
		Binds: a.binds, Stdout: out, Stderr: out,
	})
	if err != nil {
		return out.String(), fmt.Errorf("asterisk command %q: %w", line, err)
	}
	return out.String(), nil
}
