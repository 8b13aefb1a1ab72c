package apps

// Env is what a flow may use besides its call. The zero Env works.
type Env struct {
	// Log writes a line to the log of the call, with fields as key, value
	// pairs. It may be nil; flows call [Env.Note].
	Log func(message string, fields ...any)
	// Revision names the configuration that the present stage began with, ""
	// when there is none. A replay of the stage has the same one.
	Revision string
}

// Note writes a line to the call's log.
func (e Env) Note(message string, fields ...any) {
	if e.Log != nil {
		e.Log(message, fields...)
	}
}
