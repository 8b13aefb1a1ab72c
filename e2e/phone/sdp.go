package phone

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// describe writes the session description of the phone's side: an offer of the codecs, or with one codec and the far end's
// payload type for events, an answer.
func describe(host netip.Addr, port int, session, version uint64, codecs []Codec, events uint8, direction string) ([]byte, error) {
	formats := make([]string, 0, len(codecs)+1)
	attributes := make([]sdp.Attribute, 0, len(codecs)+4)
	for _, c := range codecs {
		pt := strconv.Itoa(int(c.payloadType()))
		formats = append(formats, pt)
		attributes = append(attributes, sdp.NewAttribute("rtpmap", pt+" "+string(c)+"/8000"))
	}
	if events != 0 {
		pt := strconv.Itoa(int(events))
		formats = append(formats, pt)
		attributes = append(attributes, sdp.NewAttribute("rtpmap", pt+" telephone-event/8000"), sdp.NewAttribute("fmtp", pt+" 0-15"))
	}
	attributes = append(attributes, sdp.NewAttribute("ptime", "20"), sdp.NewPropertyAttribute(direction))
	family := "IP4"
	if host.Is6() {
		family = "IP6"
	}
	d := sdp.SessionDescription{
		Origin: sdp.Origin{
			Username: "phone", SessionID: session, SessionVersion: version,
			NetworkType: "IN", AddressType: family, UnicastAddress: host.String(),
		},
		SessionName:           "call",
		ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: family, Address: &sdp.Address{Address: host.String()}},
		TimeDescriptions:      []sdp.TimeDescription{{}},
		MediaDescriptions: []*sdp.MediaDescription{{
			MediaName:  sdp.MediaName{Media: "audio", Port: sdp.RangedPort{Value: port}, Protos: []string{"RTP", "AVP"}, Formats: formats},
			Attributes: attributes,
		}},
	}
	body, err := d.Marshal()
	if err != nil {
		return nil, fmt.Errorf("writing the session description: %w", err)
	}
	return body, nil
}

// session is what the phone understands of a far end's session description.
type session struct {
	remote    remote
	codecs    []Codec // All that the phone can speak too, in the far end's order.
	direction string  // As the far end sees it: sendrecv, sendonly, recvonly, inactive.
}

// understand reads a session description. wanted are the codecs that the phone accepts, none meaning all.
func understand(body []byte, wanted []Codec) (session, error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(body); err != nil {
		return session{}, fmt.Errorf("reading the far end's session description: %w", err)
	}
	i := slices.IndexFunc(d.MediaDescriptions, func(m *sdp.MediaDescription) bool {
		return m.MediaName.Media == "audio" && m.MediaName.Port.Value != 0
	})
	if i < 0 {
		return session{}, fmt.Errorf("the far end's session description has no audio stream")
	}
	m := d.MediaDescriptions[i]
	s := session{direction: direction(&d, m)}
	s.codecs, s.remote.events = formats(m, wanted)
	if len(s.codecs) == 0 {
		return session{}, fmt.Errorf("the far end offers no codec of the phone's: it has %s", strings.Join(m.MediaName.Formats, " "))
	}
	s.remote.codec = s.codecs[0]
	s.remote.hold = s.direction == "sendonly" || s.direction == "inactive"
	connection := m.ConnectionInformation
	if connection == nil {
		connection = d.ConnectionInformation
	}
	if connection == nil || connection.Address == nil {
		return session{}, fmt.Errorf("the far end's session description says nothing of where to send (no c= line)")
	}
	addr, err := netip.ParseAddr(connection.Address.Address)
	if err != nil {
		return session{}, fmt.Errorf("the far end's session description sends sound to %q: expected an IP address", connection.Address.Address)
	}
	if addr.IsUnspecified() {
		s.remote.hold = true // How RFC 2543 put a call on hold.
	}
	s.remote.addr = netip.AddrPortFrom(addr, uint16(m.MediaName.Port.Value))
	return s, nil
}

func direction(d *sdp.SessionDescription, m *sdp.MediaDescription) string {
	for _, name := range []string{"sendonly", "recvonly", "inactive", "sendrecv"} {
		if _, ok := m.Attribute(name); ok {
			return name
		}
	}
	for _, name := range []string{"sendonly", "recvonly", "inactive"} {
		if _, ok := d.Attribute(name); ok {
			return name
		}
	}
	return "sendrecv"
}

// reverse is the direction of an answer to an offer.
func reverse(direction string) string {
	switch direction {
	case "sendonly":
		return "recvonly"
	case "recvonly":
		return "sendonly"
	}
	return direction
}

// formats picks the common codecs and the payload type of telephone events.
func formats(m *sdp.MediaDescription, wanted []Codec) (codecs []Codec, events uint8) {
	names := map[string]string{}
	for _, a := range m.Attributes {
		if a.Key == "rtpmap" {
			pt, name, _ := strings.Cut(a.Value, " ")
			names[pt] = strings.ToLower(name)
		}
	}
	for _, format := range m.MediaName.Formats {
		pt, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue
		}
		if strings.HasPrefix(names[format], "telephone-event/8000") && events == 0 {
			events = uint8(pt)
			continue
		}
		if c, ok := codecOf(uint8(pt)); ok && (len(wanted) == 0 || slices.Contains(wanted, c)) {
			codecs = append(codecs, c)
		}
	}
	return codecs, events
}
