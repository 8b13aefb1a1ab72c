package asteriskconf

import "runtime"

// debianTriplet is the name Debian gives this machine's architecture in
// library paths.
func debianTriplet() string {
	switch runtime.GOARCH {
	case "arm64":
		return "aarch64-linux-gnu"
	case "arm":
		return "arm-linux-gnueabihf"
	case "386":
		return "i386-linux-gnu"
	case "riscv64":
		return "riscv64-linux-gnu"
	case "ppc64le":
		return "powerpc64le-linux-gnu"
	case "s390x":
		return "s390x-linux-gnu"
	default:
		return "x86_64-linux-gnu"
	}
}
