package proxy

import (
	"errors"
	"strings"
	"testing"
)

func TestAllowList(t *testing.T) {
	const session = "node-1.5"
	tests := map[string]struct {
		step Step
		ok   bool
	}{
		"own channel":               {ARI("POST", "/channels/node-1.5/answer", nil), true},
		"own channel, read":         {ARI("GET", "/channels/node-1.5", nil), true},
		"own leg":                   {ARI("POST", "/channels/node-1.5~leg", nil), true},
		"own playback":              {ARI("DELETE", "/playbacks/node-1.5~1", nil), true},
		"own bridge":                {ARI("POST", "/bridges/node-1.5~b/addChannel?channel=node-1.5", nil), true},
		"own recording":             {ARI("POST", "/recordings/live/node-1.5~r/stop", nil), true},
		"own stored recording":      {ARI("GET", "/recordings/stored/node-1.5~r", nil), true},
		"sounds":                    {ARI("GET", "/sounds/hello", nil), true},
		"escaped own channel":       {ARI("GET", "/channels/node%2D1.5", nil), true},
		"move":                      {ARI("POST", "/channels/node-1.5/move", nil), false},
		"another channel":           {ARI("DELETE", "/channels/node-1.6", nil), false},
		"prefix without a tilde":    {ARI("DELETE", "/channels/node-1.55", nil), false},
		"all channels":              {ARI("GET", "/channels", nil), false},
		"originate without id":      {ARI("POST", "/channels", nil), false},
		"asterisk":                  {ARI("GET", "/asterisk/info", nil), false},
		"global variable":           {ARI("POST", "/asterisk/variable?variable=X&value=1", nil), false},
		"module":                    {ARI("DELETE", "/asterisk/modules/res_pjsip.so", nil), false},
		"application":               {ARI("GET", "/applications/asterism", nil), false},
		"user event":                {ARI("POST", "/events/user/x?application=asterism", nil), false},
		"dots":                      {ARI("GET", "/channels/node-1.5/../../asterisk/info", nil), false},
		"escaped dots":              {ARI("GET", "/channels/node-1.5/%2e%2e/x", nil), false},
		"escaped slash":             {ARI("GET", "/channels/node-1.5%2f..%2fx", nil), false},
		"double slash":              {ARI("GET", "/channels//node-1.5", nil), false},
		"no leading slash":          {ARI("GET", "channels/node-1.5", nil), false},
		"absolute URL":              {ARI("GET", "http://elsewhere/channels/node-1.5", nil), false},
		"bad escape":                {ARI("GET", "/channels/node-1.5%zz", nil), false},
		"bad query":                 {ARI("GET", "/channels/node-1.5?a=%zz", nil), false},
		"other credentials":         {ARI("GET", "/channels/node-1.5?api_key=a:b", nil), false},
		"other method":              {ARI("CONNECT", "/channels/node-1.5", nil), false},
		"write to sounds":           {ARI("POST", "/sounds/hello", nil), false},
		"all live recordings":       {ARI("GET", "/recordings/live", nil), false},
		"recordings of another":     {ARI("GET", "/recordings/stored/node-1.6~r", nil), false},
		"unknown kind of recording": {ARI("GET", "/recordings/else/node-1.5~r", nil), false},
		"bridging another":          {ARI("POST", "/bridges/node-1.5~b/addChannel?channel=node-1.5,node-1.6", nil), false},
		"bridging another, body":    {ARI("POST", "/bridges/node-1.5~b/addChannel", []byte(`{"channel":"node-1.6"}`)), false},
		"bridging another, list":    {ARI("POST", "/bridges/node-1.5~b/addChannel", []byte(`{"channel":["node-1.5","node-1.6"]}`)), false},
		"bridging, neither":         {ARI("POST", "/bridges/node-1.5~b/addChannel", []byte(`{"channel":{"id":"node-1.6"}}`)), false},
		"bridging own, body":        {ARI("POST", "/bridges/node-1.5~b/addChannel", []byte(`{"channel":["node-1.5","node-1.5~leg"]}`)), true},
		"video of another":          {ARI("POST", "/bridges/node-1.5~b/videoSource/node-1.6", nil), false},
		"another's playback id":     {ARI("POST", "/channels/node-1.5/play?playbackId=node-1.6~1", []byte(`{"media":"x"}`)), false},
		"own playback id":           {ARI("POST", "/channels/node-1.5/play?playbackId=node-1.5~1", []byte(`{"media":["x","y"]}`)), true},
		"another's recording name":  {ARI("POST", "/channels/node-1.5/record?name=node-1.6~r&format=wav", nil), false},
		"recording name, body":      {ARI("POST", "/channels/node-1.5/record", []byte(`{"name":"../x"}`)), false},
		"own recording name":        {ARI("POST", "/channels/node-1.5/record?name=node-1.5~r&format=wav", nil), true},
		"a bridge's own name":       {ARI("POST", "/bridges/node-1.5~b?name=a,b", nil), true},
		"body that is no object":    {ARI("POST", "/channels/node-1.5/play", []byte(`["x"]`)), false},
		"too long":                  {ARI("GET", "/channels/node-1.5?"+strings.Repeat("a", maxPath), nil), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := allowARI(session, tt.step)
			if (err == nil) != tt.ok {
				t.Fatalf("%s %s: %v", tt.step.Method, tt.step.Path, err)
			}
			if err != nil && !errors.Is(err, ErrForbidden) {
				t.Fatalf("%v is not ErrForbidden", err)
			}
		})
	}
}
