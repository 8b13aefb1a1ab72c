// Package ari is a complete client for the Asterisk REST Interface of Asterisk 22.10: every operation, every model and
// every event type, generated from the declarations that Asterisk ships.
//
//	c, err := ari.New(ari.Options{BaseURL: "http://127.0.0.1:8088/ari", Username: "u", Password: "p"})
//	…
//	err = c.Channels().Answer(ctx, channelID)
//	pb, err := c.Channels().PlayWithID(ctx, channelID, playbackID, []string{"sound:hello-world"}, nil)
//
// Requests go over any http.RoundTripper, each on its own pooled connection. Asterisk answers some commands late: setting
// a variable waits for a playback that runs on the channel. Commands of one call must therefore never queue behind one
// another, and callers that may meet such a wait give the context a deadline. A context without one gets
// Options.RequestTimeout.
//
// Optional parameters are a pointer to a struct, which may be nil; a zero field is not sent. A number whose default is
// not zero is a pointer (new(0) sends a zero).
//
// A response that says no is an *Error, and IsNotFound, IsConflict and so on see it through any wrapping.
//
// Events come from Client.Listen as raw bytes. Peek reads what routing needs, DecodeEvent all of it. Events of unknown
// types and members of unknown names are carried in Raw.
//
// The package must not know flows, NATS or storage, and imports nothing else of this module.
package ari

//go:generate go run ./internal/gen -api internal/gen/rest-api -out .
