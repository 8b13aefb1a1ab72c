package telephony

// pkg is one Debian package that the root must hold.
type pkg struct {
	name string
	// why is shown by the CLI and keeps this table honest.
	why string
}

// packages is everything the root holds beyond a minimal Debian. A root made
// from a shorter list is completed, not rebuilt.
var packages = []pkg{
	{"asterisk", "the telephone switch"},
	{"asterisk-core-sounds-en", "its prompts, for tests of built-in sounds"},
	{"sip-tester", "SIPp, for load and odd SIP"},
}

const (
	// suite is the Debian release the root is made of: testing.
	suite = "forky"
	// script tells a debootstrap older than the suite how to build it.
	script = "sid"
	// asteriskMin is the oldest release whose ARI has all that we use.
	asteriskMin = "22.10"
)

func packageNames() []string {
	names := make([]string, len(packages))
	for i, p := range packages {
		names[i] = p.name
	}
	return names
}
