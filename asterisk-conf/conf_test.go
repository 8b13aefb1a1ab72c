package asteriskconf_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	asteriskconf "asterism/asterisk-conf"
)

func valid() asteriskconf.Params {
	return asteriskconf.Params{
		Name: "asterisk-1", Address: "10.0.0.7", Edge: []string{"10.0.0.0/8", "192.0.2.1"}, ARIPassword: "s3cret",
		ConfigDir: "/c/etc", RunDir: "/c/run", StateDir: "/c/state", SpoolDir: "/c/spool", LogDir: "/c/log",
	}
}

func render(t *testing.T, p asteriskconf.Params) map[string]string {
	t.Helper()
	files, err := asteriskconf.Render(p)
	if err != nil {
		t.Fatal(err)
	}
	text := map[string]string{}
	for _, f := range files {
		text[f.Name] = string(f.Content)
		if f.Secret != (f.Name == "ari.conf") {
			t.Errorf("%s: secret is %v", f.Name, f.Secret)
		}
	}
	return text
}

func TestRender(t *testing.T) {
	p := valid()
	p.MaxCalls, p.ExtraPJSIP, p.ExtraDialplan, p.ExtraModules = 70, "[extra-peer]", "[extra-context]", []string{"app_extra.so"}
	text := render(t, p)
	for file, lines := range map[string][]string{
		"asterisk.conf":   {"systemname = asterisk-1", "entityid = " + p.EntityID(), "astspooldir => /c/spool", "maxcalls = 70", "transmit_silence = yes"},
		"ari.conf":        {"[asterism]", "password = s3cret"},
		"logger.conf":     {"dateformat = %F %T.%3q%z", "/c/spool/keys.log => dtmf"},
		"http.conf":       {"bindaddr = 127.0.0.1", "bindport = 8088"},
		"pjsip.conf":      {"bind = 10.0.0.7:5060", "permit = 10.0.0.0/8", "match = 192.0.2.1", "allow_transfer = no", "media_address = 10.0.0.7", "[extra-peer]"},
		"rtp.conf":        {"rtpstart = 10000", "rtpend = 29999"},
		"extensions.conf": {"[ingress]", "[refuse]", "[transfer]", "[extra-context]"},
		"modules.conf":    {"autoload = no", "load = app_extra.so"},
	} {
		for _, line := range lines {
			if !strings.Contains("\n"+text[file], "\n"+line+"\n") {
				t.Errorf("%s lacks the line %q:\n%s", file, line, text[file])
			}
		}
	}
}

// An IPv6 address needs brackets before a port.
func TestRenderIPv6(t *testing.T) {
	p := valid()
	p.Address, p.Edge = "2001:db8::7", []string{"2001:db8::/64"}
	if text := render(t, p)["pjsip.conf"]; !strings.Contains(text, "bind = [2001:db8::7]:5060\n") || !strings.Contains(text, "media_address = 2001:db8::7\n") ||
		!strings.Contains(text, "rtp_ipv6 = yes\n") {
		t.Error(text)
	}
}

func TestEveryFileSaysWhatItIsFor(t *testing.T) {
	for name, text := range render(t, valid()) {
		if !strings.HasPrefix(text, "; "+name+": ") {
			t.Errorf("%s does not begin with its name and purpose", name)
		}
	}
}

func TestEveryModuleHasAReason(t *testing.T) {
	load := regexp.MustCompile(`^load = [a-z0-9_]+\.so$`)
	seen := map[string]bool{}
	explained := false
	for line := range strings.Lines(render(t, valid())["modules.conf"]) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "; ---"), line == "":
			explained = false
		case strings.HasPrefix(line, ";"):
			explained = true
		case load.MatchString(line):
			if !explained {
				t.Errorf("%q has no reason above it", line)
			}
			if seen[line] {
				t.Errorf("%q twice", line)
			}
			seen[line] = true
		case line != "[modules]" && line != "autoload = no":
			t.Errorf("unexpected line %q", line)
		}
	}
	if len(seen) < 50 {
		t.Errorf("only %d modules", len(seen))
	}
}

func TestRenderRefuses(t *testing.T) {
	for says, change := range map[string]func(*asteriskconf.Params){
		`name ""`:                         func(p *asteriskconf.Params) { p.Name = "" },
		`name "a b"`:                      func(p *asteriskconf.Params) { p.Name = "a b" },
		`address "host"`:                  func(p *asteriskconf.Params) { p.Address = "host" },
		`expected a loopback address`:     func(p *asteriskconf.Params) { p.ARIAddress = "10.0.0.7" },
		`no edge address`:                 func(p *asteriskconf.Params) { p.Edge = nil },
		`edge "10.0.0.0/33"`:              func(p *asteriskconf.Params) { p.Edge = []string{"10.0.0.0/33"} },
		`ARI password`:                    func(p *asteriskconf.Params) { p.ARIPassword = "a;b" },
		`ARI user`:                        func(p *asteriskconf.Params) { p.ARIUser = "general" },
		`SIP port 70000`:                  func(p *asteriskconf.Params) { p.SIPPort = 70000 },
		`RTP ports 20000 to 10000`:        func(p *asteriskconf.Params) { p.RTPFrom, p.RTPTo = 20000, 10000 },
		`session expires 60 s`:            func(p *asteriskconf.Params) { p.SessionExpires = 60 },
		`spool directory ""`:              func(p *asteriskconf.Params) { p.SpoolDir = "" },
		`key log "/a=>b"`:                 func(p *asteriskconf.Params) { p.KeyLog = "/a=>b" },
		`log directory "/a;b"`:            func(p *asteriskconf.Params) { p.LogDir = "/a;b" },
		`its control socket's path would`: func(p *asteriskconf.Params) { p.RunDir = "/" + strings.Repeat("x", 100) },
	} {
		p := valid()
		change(&p)
		_, err := asteriskconf.Render(p)
		if !errors.Is(err, asteriskconf.ErrParams) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want one that says %q", err, says)
		}
	}
}

func TestEntityID(t *testing.T) {
	a, b := asteriskconf.Params{Name: "a"}.EntityID(), asteriskconf.Params{Name: "b"}.EntityID()
	form := regexp.MustCompile(`^[0-9a-f]([26ae])(:[0-9a-f]{2}){5}$`)
	if a == b || !form.MatchString(a) || !form.MatchString(b) {
		t.Errorf("%s and %s: want two different, locally administered unicast addresses", a, b)
	}
}

func TestWriteKeepsThePasswordToItsOwner(t *testing.T) {
	p := valid()
	p.ConfigDir = filepath.Join(t.TempDir(), "etc")
	if err := os.MkdirAll(p.ConfigDir, 0o755); err != nil {
		t.Fatal(err)
	}
	// What an earlier run left must not keep its wider mode.
	if err := os.WriteFile(filepath.Join(p.ConfigDir, "ari.conf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := asteriskconf.Write(p); err != nil {
		t.Fatal(err)
	}
	for _, name := range asteriskconf.Names() {
		info, err := os.Stat(filepath.Join(p.ConfigDir, name))
		if err != nil {
			t.Fatal(err)
		}
		want := os.FileMode(0o644)
		if name == "ari.conf" {
			want = 0o600
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}
}
