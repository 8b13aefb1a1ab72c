package ari

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The Asterisk this package is made for.
const (
	SupportedMajor = 22
	MinimumMinor   = 10
)

// ErrUnsupportedVersion is wrapped by the refusal of an Asterisk this package is not made for.
var ErrUnsupportedVersion = errors.New("unsupported Asterisk version")

// CheckVersion asks Asterisk for its version and returns an error wrapping ErrUnsupportedVersion unless it is one this
// package is made for. The version is returned where it is known.
func (c *Client) CheckVersion(ctx context.Context) (string, error) {
	info, err := c.Asterisk().Info(ctx, &AsteriskInfoOptions{Only: []string{"system"}})
	if err != nil {
		return "", fmt.Errorf("ask for the version of Asterisk: %w", err)
	}
	if info.System == nil {
		return "", CheckVersion(info)
	}
	return info.System.Version, CheckVersion(info)
}

// CheckVersion returns an error wrapping ErrUnsupportedVersion unless info is of an Asterisk 22 from 22.10 on. A newer
// major version is refused too: its ARI may differ, and this package is generated from that of 22.
func CheckVersion(info *AsteriskInfo) error {
	if info == nil || info.System == nil || info.System.Version == "" {
		return fmt.Errorf("%w: Asterisk did not say its version", ErrUnsupportedVersion)
	}
	v := info.System.Version
	major, minor, ok := parseVersion(v)
	if ok && major == SupportedMajor && minor >= MinimumMinor {
		return nil
	}
	return fmt.Errorf("%w: this is Asterisk %s, but Asterism is made for %d.%d or later in the %d LTS series",
		ErrUnsupportedVersion, v, SupportedMajor, MinimumMinor, SupportedMajor)
}

// parseVersion reads major and minor of "22.10.1~dfsg-1", "certified/22.10-cert2", "certified-22.10-cert2",
// "22.10.0-rc1" and "GIT-22.10-abcdef". What follows the minor does not matter.
func parseVersion(s string) (major, minor int, ok bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	for _, prefix := range []string{"asterisk ", "certified/", "certified-", "certified ", "git-"} {
		s = strings.TrimPrefix(s, prefix)
	}
	majorText, rest, _ := strings.Cut(s, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	major, err1 := strconv.Atoi(majorText)
	minor, err2 := strconv.Atoi(rest[:end])
	return major, minor, err1 == nil && err2 == nil && major > 0
}
