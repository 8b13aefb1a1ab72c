package ari

import (
	"encoding/json"
	"fmt"
	"time"
)

// TimeLayout is how Asterisk writes times: milliseconds and a zone without a colon.
const TimeLayout = "2006-01-02T15:04:05.000-0700"

// Time is a moment as ARI writes it. Decoded times are in UTC.
type Time struct{ time.Time }

// MarshalJSON writes the time as Asterisk does.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(TimeLayout)+2)
	b = append(b, '"')
	b = t.AppendFormat(b, TimeLayout)
	return append(b, '"'), nil
}

// UnmarshalJSON reads Asterisk's form and RFC 3339. A null leaves the time alone.
func (t *Time) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("ari: decode time: %w", err)
	}
	v, ok := parseTime([]byte(s))
	if !ok {
		return fmt.Errorf("ari: decode time: %w: expected a time such as %s, found %q", errSyntax, TimeLayout, s)
	}
	t.Time = v
	return nil
}

// parseTime reads Asterisk's form without help of package time, which costs ten times as much, and any RFC 3339 form with it.
func parseTime(b []byte) (time.Time, bool) {
	if len(b) == len(TimeLayout) && b[4] == '-' && b[7] == '-' && b[10] == 'T' && b[13] == ':' && b[16] == ':' && b[19] == '.' {
		year, ok1 := decimal(b[0:4])
		month, ok2 := decimal(b[5:7])
		day, ok3 := decimal(b[8:10])
		hour, ok4 := decimal(b[11:13])
		minute, ok5 := decimal(b[14:16])
		second, ok6 := decimal(b[17:19])
		millis, ok7 := decimal(b[20:23])
		zoneHour, ok8 := decimal(b[24:26])
		zoneMinute, ok9 := decimal(b[26:28])
		inRange := month >= 1 && month <= 12 && day >= 1 && day <= 31 && hour < 24 && minute < 60 && second < 60 &&
			zoneHour < 24 && zoneMinute < 60 && (b[23] == '+' || b[23] == '-')
		if ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8 && ok9 && inRange {
			t := time.Date(year, time.Month(month), day, hour, minute, second, millis*1e6, time.UTC)
			if t.Day() != day {
				return time.Time{}, false // such as 31 February
			}
			offset := time.Duration(zoneHour)*time.Hour + time.Duration(zoneMinute)*time.Minute
			if b[23] == '+' {
				offset = -offset
			}
			return t.Add(offset), true
		}
	}
	t, err := time.Parse(time.RFC3339Nano, string(b))
	return t.UTC(), err == nil
}

// decimal reads digits only.
func decimal(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
