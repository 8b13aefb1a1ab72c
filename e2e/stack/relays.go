package stack

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// The kinds of relays, for [Stack.Relay].
const (
	ToNATS    = "nats"
	ToARI     = "ari"
	ToStorage = "storage" // with S3 only
)

func relayName(node int, kind string) string { return nodeName(node) + " " + kind }

// Relay is the network between the gateway of the n-th node, from 1, and NATS,
// ARI or storage; nil without Options.Relays.
func (s *Stack) Relay(node int, kind string) *Relay { return s.relays[relayName(node, kind)] }

// openRelays puts relays of its own before NATS, ARI and storage for each gateway.
func (s *Stack) openRelays(ctx context.Context) error {
	if !s.o.Relays {
		return nil
	}
	host, _, err := net.SplitHostPort(s.o.NATS)
	if err != nil {
		return fmt.Errorf("NATS address: %w", err)
	}
	for n := 1; n <= s.o.Nodes; n++ {
		targets := map[string]string{
			ToNATS: s.o.NATS,
			ToARI:  net.JoinHostPort(s.o.Addresses[n-1], "8088"),
		}
		if s.o.Storage.S3 != nil {
			targets[ToStorage] = s.o.Storage.S3.Endpoint
		}
		for kind, target := range targets {
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
	env := []string{
		"ASTERISM_NATS_URLS=nats://" + s.Relay(n, ToNATS).Addr(),
		"ASTERISM_NODES_" + strconv.Itoa(n-1) + "_ARI_URL=http://" + s.Relay(n, ToARI).Addr() + "/ari",
	}
	if r := s.Relay(n, ToStorage); r != nil {
		env = append(env, "ASTERISM_STORAGE_S3_ENDPOINT="+r.Addr())
	}
	return env
}
