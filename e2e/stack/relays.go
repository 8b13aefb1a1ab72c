package stack

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// The kinds of relays, for [Stack.Relay].
const (
	ToNATS = "nats"
	ToARI  = "ari"
)

func relayName(node int, kind string) string { return nodeName(node) + " " + kind }

// Relay is the network between the gateway of the n-th node, from 1, and NATS
// or ARI; nil without Options.Relays.
func (s *Stack) Relay(node int, kind string) *Relay { return s.relays[relayName(node, kind)] }

// openRelays puts a relay of its own before NATS and ARI for each gateway.
func (s *Stack) openRelays(ctx context.Context) error {
	if !s.o.Relays {
		return nil
	}
	host, _, err := net.SplitHostPort(s.o.NATS)
	if err != nil {
		return fmt.Errorf("NATS address: %w", err)
	}
	for n := 1; n <= s.o.Nodes; n++ {
		for kind, target := range map[string]string{
			ToNATS: s.o.NATS,
			ToARI:  net.JoinHostPort(s.o.Addresses[n-1], "8088"),
		} {
			r, err := openRelay(ctx, net.JoinHostPort(host, "0"), target)
			if err != nil {
				return err
			}
			s.relays[relayName(n, kind)] = r
		}
	}
	return nil
}

// relayed is the environment that leads a gateway through its relays.
func (s *Stack) relayed(role string, n int) []string {
	if role != "gateway" || s.Relay(n, ToNATS) == nil {
		return nil
	}
	return []string{
		"ASTERISM_NATS_URLS=nats://" + s.Relay(n, ToNATS).Addr(),
		"ASTERISM_NODES_" + strconv.Itoa(n-1) + "_ARI_URL=http://" + s.Relay(n, ToARI).Addr() + "/ari",
	}
}
