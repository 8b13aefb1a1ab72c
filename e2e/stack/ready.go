package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// pollEvery is how often readiness is asked for.
const pollEvery = 50 * time.Millisecond

// Ready waits until every process says that it is ready. A process that has
// died meanwhile is an error with the end of its log.
func (s *Stack) Ready(ctx context.Context) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, p := range s.all {
		if p.url == "" {
			continue // Asterisk was ready when it was started
		}
		if err := p.await(ctx, client); err != nil {
			return err
		}
	}
	return nil
}

func (p *Process) await(ctx context.Context, client *http.Client) error {
	restarts := p.Restarts()
	for {
		why := p.ready(ctx, client)
		if why == nil {
			return nil
		}
		select {
		case <-p.current().Done():
			return fmt.Errorf("%s ended while starting (%s); the end of its log:\n%s", p.name, ending(p.current().Err()), p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%w); the end of its log:\n%s", p.name, why, context.Cause(ctx), p.tail())
		case <-time.After(pollEvery):
		}
		if p.Restarts() > restarts {
			return fmt.Errorf("%s ended while starting; the end of its log:\n%s", p.name, p.tail())
		}
	}
}

// Ready asks the process once; its error says what is missing. Asterisk is
// ready when it runs.
func (p *Process) Ready(ctx context.Context) error {
	if p.url == "" {
		return nil
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return p.ready(ctx, client)
}

// ready asks once; its error says what is missing.
func (p *Process) ready(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var r struct{ Checks map[string]string }
	if err := json.Unmarshal(body, &r); err != nil || len(r.Checks) == 0 {
		return fmt.Errorf("/readyz answers %s", resp.Status)
	}
	var wrong []string
	for name, state := range r.Checks {
		if state != "ok" {
			wrong = append(wrong, name+": "+state)
		}
	}
	return errors.New(strings.Join(wrong, "; "))
}
