package stack

import (
	"context"
	"io"
	"net/http"
	"syscall"
	"time"
)

// probeEvery is how often a process is asked whether it lives.
const probeEvery = time.Second

// probe asks the process whether it lives, and kills one that has not said so
// for as long as it may be silent. One that starts has more time, as a startup
// probe gives it: only after a first answer does silence count.
func (p *Process) probe() {
	ctx, cancel := p.untilQuit()
	defer cancel()
	client := &http.Client{Timeout: probeEvery, Transport: &http.Transport{DisableKeepAlives: true}}
	var who child       // who has answered
	var heard time.Time // when
	for {
		now, wait := p.current(), probeEvery
		if now != who {
			wait = pollEvery
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		switch {
		case p.alive(ctx, client):
			who, heard = now, time.Now()
		case who == now && time.Since(heard) > p.liveness && ctx.Err() == nil:
			p.note("%s has not answered /healthz for %v; it is killed", p.name, time.Since(heard).Round(time.Second))
			_ = now.Signal(syscall.SIGKILL) // One that is gone is started again by supervision.
			select {
			case <-ctx.Done():
			case <-now.Done():
			}
		}
	}
}

// alive asks once.
func (p *Process) alive(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/healthz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	return err == nil && resp.StatusCode == http.StatusOK
}
