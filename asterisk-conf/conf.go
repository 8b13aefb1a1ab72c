package asteriskconf

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

//go:embed *.conf
var templates embed.FS

// ErrParams is returned by Render when a parameter is missing or malformed.
var ErrParams = errors.New("asterisk configuration")

// Params are the values that differ from node to node. A zero value is
// replaced by the default named at the field, where one is named.
type Params struct {
	// Name is systemname, and entityid is made from it: unique on the platform, because the
	// ids of channels start with it. Letters, digits, '-', '_' and '.'.
	Name string

	// Address is the IP address that SIP and RTP are bound to.
	Address string
	// SIPPort is the port for SIP over UDP and over TCP. Default 5060.
	SIPPort int
	// Edge lists the addresses or CIDRs calls may come from. No other source
	// gets an answer other than a refusal.
	Edge []string
	// RTPFrom and RTPTo bound the UDP ports for media, two for a leg.
	// Default 10000 to 29999, below the ports Linux hands out by itself.
	RTPFrom, RTPTo int
	// RTPTimeout ends an answered call after so many seconds without a
	// packet. Default 60.
	RTPTimeout int
	// RTPTimeoutHold is RTPTimeout for a call on hold. Default 300.
	RTPTimeoutHold int
	// SessionExpires is the interval of SIP session timers in seconds
	// (RFC 4028), at least 90. Default 1800.
	SessionExpires int
	// MaxCalls refuses calls beyond this number. 0, the default, is no limit.
	MaxCalls int
	// MaxFiles is the limit of open files; a call takes about six.
	// Default 65536.
	MaxFiles int

	// ARIAddress is the loopback address of ARI and of /metrics.
	// Default 127.0.0.1.
	ARIAddress string
	// ARIPort is the port of ARI and of /metrics. Default 8088.
	ARIPort int
	// ARIUser is the one user of ARI. Default "asterism".
	ARIUser string
	// ARIPassword is that user's password.
	ARIPassword string

	// ConfigDir is where the rendered files are put.
	ConfigDir string
	// RunDir holds the control socket, whose path the kernel limits to 107
	// bytes, and the pid file.
	RunDir string
	// StateDir holds the internal database, of which nothing is needed at the
	// next start.
	StateDir string
	// SpoolDir holds recordings, in SpoolDir/recording; shared with the
	// gateway, and a disk.
	SpoolDir string
	// LogDir holds the log file.
	LogDir string
	// KeyLog is the file in which Asterisk writes down each key, shared with the
	// gateway. Its directory must exist. Default SpoolDir/keys.log.
	KeyLog string
	// ModuleDir is where the modules are. Default: Debian's place for the
	// machine's architecture.
	ModuleDir string
	// DataDir is where the package's sounds are. Default /usr/share/asterisk.
	DataDir string

	// ExtraDialplan is appended to extensions.conf, for tests and benches.
	ExtraDialplan string
	// EntryContext is where calls enter. Default "ingress"; a test may name a
	// context of its ExtraDialplan that includes ingress, because Asterisk
	// looks into a context before it looks into those it includes.
	EntryContext string
	// ExtraPJSIP is appended to pjsip.conf.
	ExtraPJSIP string
	// ExtraModules are loaded besides those of modules.conf.
	ExtraModules []string
}

// File is one rendered file.
type File struct {
	// Name is the file's name within ConfigDir.
	Name string
	// Content is its text.
	Content []byte
	// Secret says that only the owner may read it.
	Secret bool
}

// EntityID is the id that ARI events carry as asterisk_id. Asterisk accepts
// only the form of a network card's address, so it is a hash of Name, marked
// as locally administered.
func (p Params) EntityID() string {
	sum := sha256.Sum256([]byte(p.Name))
	sum[0] = sum[0]&^1 | 2
	parts := make([]string, 6)
	for i := range parts {
		parts[i] = fmt.Sprintf("%02x", sum[i])
	}
	return strings.Join(parts, ":")
}

// SIPBind is Address with SIPPort, as a transport binds to it.
func (p Params) SIPBind() string { return net.JoinHostPort(p.Address, strconv.Itoa(p.SIPPort)) }

// IPv6 says whether Address is one of IPv6.
func (p Params) IPv6() bool {
	addr, err := netip.ParseAddr(p.Address)
	return err == nil && addr.Is6() && !addr.Is4In6()
}

// Names lists the files that Render makes, sorted.
func Names() []string {
	entries, err := templates.ReadDir(".")
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Source returns the text of one template as committed, for those who check
// it against a table of their own. The error wraps fs.ErrNotExist for a name
// that Names does not list.
func Source(name string) ([]byte, error) {
	b, err := templates.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read template %s: %w", name, err)
	}
	return b, nil
}

// Render fills the templates. The error wraps ErrParams when a parameter is
// missing or malformed, and says which.
func Render(p Params) ([]File, error) {
	p = p.withDefaults()
	if err := p.check(); err != nil {
		return nil, err
	}
	t, err := template.New("").Option("missingkey=error").ParseFS(templates, "*.conf")
	if err != nil {
		return nil, fmt.Errorf("parse configuration templates: %w", err)
	}
	var files []File
	for _, name := range Names() {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, name, p); err != nil {
			return nil, fmt.Errorf("render %s: %w", name, err)
		}
		files = append(files, File{Name: name, Content: b.Bytes(), Secret: name == "ari.conf"})
	}
	return files, nil
}

// Write renders the templates into p.ConfigDir, which it makes.
func Write(p Params) error {
	files, err := Render(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.ConfigDir, 0o755); err != nil {
		return fmt.Errorf("make configuration directory: %w", err)
	}
	for _, f := range files {
		mode := os.FileMode(0o644)
		if f.Secret {
			mode = 0o600
		}
		path := filepath.Join(p.ConfigDir, f.Name)
		// A file left by an earlier run may have a wider mode, which WriteFile keeps.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("replace configuration: %w", err)
		}
		if err := os.WriteFile(path, f.Content, mode); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}

func (p Params) withDefaults() Params {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&p.SIPPort, 5060},
		{&p.RTPFrom, 10000},
		{&p.RTPTo, 29999},
		{&p.RTPTimeout, 60},
		{&p.RTPTimeoutHold, 300},
		{&p.SessionExpires, 1800},
		{&p.MaxFiles, 65536},
		{&p.ARIPort, 8088},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *string
		value string
	}{
		{&p.ARIAddress, "127.0.0.1"},
		{&p.EntryContext, "ingress"},
		{&p.ARIUser, "asterism"},
		{&p.ModuleDir, "/usr/lib/" + debianTriplet() + "/asterisk/modules"},
		{&p.DataDir, "/usr/share/asterisk"},
	} {
		if *d.field == "" {
			*d.field = d.value
		}
	}
	if p.KeyLog == "" {
		p.KeyLog = filepath.Join(p.SpoolDir, "keys.log")
	}
	return p
}

func (p Params) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrParams, fmt.Sprintf(format, args...))
	}
	if p.Name == "" || strings.Trim(p.Name, nameLetters) != "" {
		return bad("name %q: expected letters, digits, '-', '_' and '.'", p.Name)
	}
	if _, err := netip.ParseAddr(p.Address); err != nil {
		return bad("address %q: expected an IP address", p.Address)
	}
	ari, err := netip.ParseAddr(p.ARIAddress)
	if err != nil || !ari.IsLoopback() {
		return bad("ARI address %q: expected a loopback address, because ARI commands the whole Asterisk", p.ARIAddress)
	}
	if len(p.Edge) == 0 {
		return bad("no edge address: nobody could call")
	}
	for _, e := range p.Edge {
		_, errNet := netip.ParsePrefix(e)
		_, errIP := netip.ParseAddr(e)
		if errNet != nil && errIP != nil {
			return bad("edge %q: expected an IP address or a CIDR such as 10.0.0.0/8", e)
		}
	}
	if p.ARIUser == "general" || strings.Trim(p.ARIUser, nameLetters) != "" {
		return bad("ARI user %q: expected letters, digits, '-', '_' and '.', and not \"general\"", p.ARIUser)
	}
	if p.ARIPassword == "" || strings.ContainsAny(p.ARIPassword, ";\r\n\t []\\") {
		return bad("ARI password: expected at least one character, and none of ; [ ] \\, space or control characters")
	}
	for name, port := range map[string]int{"SIP port": p.SIPPort, "ARI port": p.ARIPort, "first RTP port": p.RTPFrom, "last RTP port": p.RTPTo} {
		if port < 1 || port > 65535 {
			return bad("%s %d: expected 1 to 65535", name, port)
		}
	}
	if p.RTPFrom >= p.RTPTo {
		return bad("RTP ports %d to %d: expected a range", p.RTPFrom, p.RTPTo)
	}
	if p.SessionExpires < 90 {
		return bad("session expires %d s: expected at least 90 (RFC 4028)", p.SessionExpires)
	}
	for name, dir := range map[string]string{
		"configuration": p.ConfigDir, "run": p.RunDir, "state": p.StateDir, "spool": p.SpoolDir,
		"log": p.LogDir, "module": p.ModuleDir, "data": p.DataDir,
	} {
		if !filepath.IsAbs(dir) || strings.ContainsAny(dir, ";\r\n") {
			return bad("%s directory %q: expected an absolute path without ';' or line breaks", name, dir)
		}
	}
	// A file of the logger is a key of its configuration.
	if !filepath.IsAbs(p.KeyLog) || strings.ContainsAny(p.KeyLog, ";[]=, \t\r\n") {
		return bad("key log %q: expected an absolute path without spaces and none of ; [ ] = and comma", p.KeyLog)
	}
	if n := len(filepath.Join(p.RunDir, "asterisk.ctl")); n > 107 {
		return bad("run directory %q: its control socket's path would have %d bytes, expected at most 107", p.RunDir, n)
	}
	return nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
