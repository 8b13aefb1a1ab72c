package aritest

import (
	"fmt"
	"os"
	"time"
)

// writeKey writes what Asterisk's logger writes of a key that a channel
// receives: the lines of level DTMF that asterisk-conf/logger.conf asks for.
// They are there before the event is. A file that cannot be written is no
// news for Asterisk either.
func (s *Server) writeKey(channel, digit string) {
	if s.opt.KeyLog == "" {
		return
	}
	f, err := os.OpenFile(s.opt.KeyLog, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return
	}
	defer f.Close()
	head := time.Now().Format("[2006-01-02 15:04:05.000-0700] DTMF[77][C-00000001] channel.c: DTMF ")
	_, _ = fmt.Fprintf(f, head+"begin '%[1]s' received on %[2]s\n"+head+"begin passthrough '%[1]s' on %[2]s\n"+
		head+"end '%[1]s' received on %[2]s, duration 100 ms\n"+
		head+"end accepted with begin '%[1]s' on %[2]s\n"+head+"end passthrough '%[1]s' on %[2]s\n", digit, channel)
}
