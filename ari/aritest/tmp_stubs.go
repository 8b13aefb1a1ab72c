package aritest

import "time"

type bridge struct {
	id       string
	channels []*channel
	leaving  *channel
	busy     job
}

func (br *bridge) remove(*channel) {}
func (br *bridge) idle()           {}

type recording struct{}

func (*recording) abort()       {}
func (*recording) digit(string) {}
func (*recording) spoken()      {}

type storedRecording struct{ length time.Duration }

const allBridges = "__AST_BRIDGE_ALL_TOPIC"

type FarCall struct{}
type FarAnswer struct {
	Ring  bool
	After time.Duration
}
type farCall struct{}

func (s *Server) recordChannel(*channel, *request) reply { return errNoResource }
func (s *Server) routeBridges(*request) reply            { return errNoResource }
func (s *Server) routeRecordings(*request) reply         { return errNoResource }
func (s *Server) routeApplications(*request) reply       { return errNoResource }
func (s *Server) routeAsterisk(*request) reply           { return errNoResource }
func (s *Server) routeEvents(*request) reply             { return errNoResource }
func (s *Server) routeSounds(*request) reply             { return errNoResource }
func (s *Server) routeEndpoints(*request) reply          { return errNoResource }
func (s *Server) routeDevices(*request) reply            { return errNoResource }
func (s *Server) originate(*request, string) reply       { return errNoResource }
func (s *Server) createChannel(*request) reply           { return errNoResource }
func (s *Server) externalMedia(*request) reply           { return errNoResource }
func (s *Server) snoop(*request) reply                   { return errNoResource }
func (s *Server) dial(*request) reply                    { return errNoResource }
