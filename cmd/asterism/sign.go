package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"asterism/sip"
)

// signWith returns what adds X-Asterisk-Signature to the headers of a call,
// made with the key in a file.
func signWith(id, file string) (func(callID string, headers [][2]string) ([][2]string, error), error) {
	secret, err := os.ReadFile(file) //nolint:gosec // the person named it
	if err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	key, err := sip.NewKey(id, strings.TrimSpace(string(secret)))
	if err != nil {
		return nil, fmt.Errorf("--key-file %s, --key-id: %w", file, err)
	}
	signer, err := sip.NewSigner(key)
	if err != nil {
		return nil, fmt.Errorf("--key-file %s: %w", file, err)
	}
	return func(callID string, headers [][2]string) ([][2]string, error) {
		params := make(map[string]string)
		for _, h := range headers {
			if len(h[0]) > len(sip.Prefix) && strings.EqualFold(h[0][:len(sip.Prefix)], sip.Prefix) {
				params[h[0]] = h[1]
			}
		}
		signature, err := signer.Sign(time.Now(), callID, params)
		if err != nil {
			return nil, err
		}
		return append(headers, [2]string{sip.Prefix + "Signature", signature}), nil
	}, nil
}
