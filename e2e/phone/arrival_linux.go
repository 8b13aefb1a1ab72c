package phone

import (
	"encoding/binary"
	"net"
	"syscall"
	"time"
)

// The kernel stamps each packet on arrival, so that a busy machine, on which the phone reads late, does not look like a
// network with gaps.
const oobSize = 64

// stampArrivals asks the kernel for the arrival time of each packet. A kernel that refuses costs accuracy, nothing else.
func stampArrivals(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1)
	})
}

// arrival reads the arrival time of a packet from its control messages, or takes the present time. The result carries a
// monotonic reading.
func arrival(oob []byte, now time.Time) time.Time {
	const headerSize = syscall.SizeofCmsghdr
	if len(oob) < headerSize+16 || headerSize != 16 {
		return now
	}
	if binary.NativeEndian.Uint32(oob[8:]) != syscall.SOL_SOCKET || binary.NativeEndian.Uint32(oob[12:]) != syscall.SCM_TIMESTAMPNS {
		return now
	}
	sec, nsec := binary.NativeEndian.Uint64(oob[16:]), binary.NativeEndian.Uint64(oob[24:])
	waited := now.Sub(time.Unix(int64(sec), int64(nsec)))
	if waited < 0 || waited > time.Minute {
		return now // The wall clock was set meanwhile.
	}
	return now.Add(-waited)
}
