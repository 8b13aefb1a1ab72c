package proxy

import (
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// natsOf returns the NATS connection that a Conn stands on.
func natsOf(c *Conn) *nats.Conn {
	w, ok := c.wire.(*natsWire)
	if !ok {
		return nil
	}
	return w.Conn
}
