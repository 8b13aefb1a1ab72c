package main

import (
	"strings"
	"unicode"
)

// initialisms are words that Go spells in capitals.
var initialisms = map[string]string{
	"id": "ID", "dtmf": "DTMF", "moh": "MOH", "uri": "URI", "rtp": "RTP", "rtt": "RTT", "ssrc": "SSRC", "ms": "MS",
	"os": "OS", "txt": "Text", "aor": "AOR", "rest": "REST", "rdnis": "RDNIS", "ids": "IDs",
}

// splitWords are names that Asterisk writes without a mark between their words.
var splitWords = map[string]string{
	"offsetms": "offset_ms", "skipms": "skip_ms", "accountcode": "account_code", "creationtime": "creation_time",
	"channelvars": "channel_vars", "bridgevars": "bridge_vars", "tenantid": "tenant_id", "setid": "set_id",
	"txcount": "tx_count", "rxcount": "rx_count", "txjitter": "tx_jitter", "rxjitter": "rx_jitter", "txploss": "tx_loss",
	"rxploss": "rx_loss", "maxrtt": "max_rtt", "minrtt": "min_rtt", "normdevrtt": "normdev_rtt", "stdevrtt": "stdev_rtt",
	"txoctetcount": "tx_octet_count", "rxoctetcount": "rx_octet_count", "channel_uniqueid": "channel_unique_id",
	"remote_maxjitter": "remote_max_jitter", "remote_minjitter": "remote_min_jitter",
	"remote_normdevjitter": "remote_normdev_jitter", "remote_stdevjitter": "remote_stdev_jitter",
	"local_maxjitter": "local_max_jitter", "local_minjitter": "local_min_jitter",
	"local_normdevjitter": "local_normdev_jitter", "local_stdevjitter": "local_stdev_jitter",
	"remote_maxrxploss": "remote_max_rx_loss", "remote_minrxploss": "remote_min_rx_loss",
	"remote_normdevrxploss": "remote_normdev_rx_loss", "remote_stdevrxploss": "remote_stdev_rx_loss",
	"local_maxrxploss": "local_max_rx_loss", "local_minrxploss": "local_min_rx_loss",
	"local_normdevrxploss": "local_normdev_rx_loss", "local_stdevrxploss": "local_stdev_rx_loss",
	"roundtrip_usec": "roundtrip_microseconds", "eventname": "event_name", "userevent": "user_event",
	"dialstring": "dial_string", "dialstatus": "dial_status", "musicclass": "music_class",
}

// exported turns channelId, replace_channel or absorbDTMF into ChannelID, ReplaceChannel, AbsorbDTMF.
func exported(name string) string {
	if s, ok := splitWords[name]; ok {
		name = s
	}
	var b strings.Builder
	for _, w := range words(name) {
		if up, ok := initialisms[strings.ToLower(w)]; ok {
			b.WriteString(up)
			continue
		}
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

// unexported is exported with a small first word, for parameters.
func unexported(name string) string {
	if s, ok := splitWords[name]; ok {
		name = s
	}
	first := words(name)[0]
	return escapeKeyword(strings.ToLower(first) + strings.TrimPrefix(exported(name), exported(first)))
}

// escapeKeyword keeps clear of Go's words and of the names the generated bodies use themselves.
func escapeKeyword(s string) string {
	switch s {
	case "type", "func", "range", "var", "map", "opts", "ctx", "r", "a", "select", "to":
		return s + "Value"
	}
	return s
}

// words splits at underscores, spaces, dashes and at each change from small to capital letters.
func words(name string) []string {
	var out []string
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '_' || r == '-' || r == ' ' }) {
		start := 0
		runes := []rune(part)
		for i := 1; i < len(runes); i++ {
			if unicode.IsUpper(runes[i]) && !unicode.IsUpper(runes[i-1]) {
				out = append(out, string(runes[start:i]))
				start = i
			}
		}
		out = append(out, string(runes[start:]))
	}
	return out
}

// modelNames are models whose declared name is not Go's way to write it.
var modelNames = map[string]string{"RTPstat": "RTPStats"}

func modelName(name string) string {
	if n, ok := modelNames[name]; ok {
		return n
	}
	return name
}

// singular names the thing a resource holds, for the names of option types: ChannelPlayOptions.
var singular = map[string]string{
	"applications": "Application", "asterisk": "Asterisk", "bridges": "Bridge", "channels": "Channel",
	"deviceStates": "DeviceState", "endpoints": "Endpoint", "events": "Event", "mailboxes": "Mailbox",
	"playbacks": "Playback", "recordings": "Recording", "sounds": "Sound",
}

func singularOf(resourceName string) string {
	if s, ok := singular[resourceName]; ok {
		return s
	}
	return exported(resourceName)
}
