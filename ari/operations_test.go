package ari_test

import (
	"slices"
	"testing"

	"asterism/ari"
)

func TestFindOperation(t *testing.T) {
	for _, tt := range []struct {
		method, path, id string
		params           []string
	}{
		{"GET", "/channels", "channels.list", nil},
		{"POST", "/channels/create", "channels.create", nil},
		{"POST", "/channels/externalMedia", "channels.externalMedia", nil},
		{"POST", "/channels/170.1", "channels.originateWithId", []string{"170.1"}},
		{"POST", "/channels/a%2Fb/play/s~1", "channels.playWithId", []string{"a/b", "s~1"}},
		{"PUT", "/endpoints/sendMessage", "endpoints.sendMessage", nil},
		{"GET", "/endpoints/PJSIP", "endpoints.listByTech", []string{"PJSIP"}},
		{"POST", "/endpoints/PJSIP/refer", "", nil},
		{"POST", "/endpoints/PJSIP/a/refer", "endpoints.referToEndpoint", []string{"PJSIP", "a"}},
		{"GET", "/recordings/stored/x/file", "recordings.getStoredFile", []string{"x"}},
		{"GET", "/events", "events.eventWebsocket", nil},
		{"PATCH", "/channels", "", nil},
		{"GET", "/channels/", "", nil},
		{"GET", "/channels/%zz", "", nil},
		{"GET", "channels", "", nil},
		{"GET", "/", "", nil},
		{"GET", "", "", nil},
		{"GET", "/nothing", "", nil},
	} {
		op, params, ok := ari.FindOperation(tt.method, tt.path)
		if ok != (tt.id != "") || op.ID != tt.id || !slices.Equal(params, tt.params) {
			t.Errorf("%s %s is %q %q, expected %q %q", tt.method, tt.path, op.ID, params, tt.id, tt.params)
		}
	}
}

// TestOperationIDs proves that an operation's ID can serve as a label and that each finds itself.
func TestOperationIDs(t *testing.T) {
	ids := map[string]bool{}
	for _, op := range ari.Operations() {
		if ids[op.ID] {
			t.Errorf("%s is there twice", op.ID)
		}
		ids[op.ID] = true
		if found, _, ok := ari.FindOperation(op.Method, op.Path); !ok || found != op {
			t.Errorf("%s %s finds %+v", op.Method, op.Path, found)
		}
	}
}
