package aritest

import "strconv"

// Q.850 causes that matter here.
const (
	causeNormal       = 16
	causeNoAnswer     = 19
	causeRedirected   = 23
	causeInterworking = 127
)

// reasons are the values of the parameter "reason" of a hang-up.
var reasons = map[string]int{
	"normal": 16, "busy": 17, "congestion": 34, "no_answer": 19, "timeout": 18, "rejected": 21, "unallocated": 1,
	"normal_unspecified": 31, "number_incomplete": 28, "codec_mismatch": 58, "interworking": 127, "failure": 38,
	"answered_elsewhere": 26,
}

// SIPStatusOf is the SIP status with which Asterisk 22 ends an unanswered call of the given Q.850 cause.
func SIPStatusOf(cause int) int {
	switch cause {
	case 1:
		return 404
	case 17:
		return 486
	case 18:
		return 408
	case 19, 20, 31:
		return 480
	case 21:
		return 403
	case 22:
		return 410
	case 27:
		return 502
	case 28:
		return 484
	case 34, 42, 66:
		return 503
	case 38, 127:
		return 500
	case 58:
		return 488
	}
	return 603
}

// causeText is cause_txt as Asterisk words it.
func causeText(cause int) string {
	switch cause {
	case 0:
		return "Unknown"
	case 1:
		return "Unallocated (unassigned) number"
	case 16:
		return "Normal Clearing"
	case 17:
		return "User busy"
	case 18:
		return "No user responding"
	case 19:
		return "User alerting, no answer"
	case 20:
		return "Subscriber absent"
	case 21:
		return "Call Rejected"
	case 23:
		return "Redirected to new destination"
	case 26:
		return "Answered elsewhere"
	case 34:
		return "Circuit/channel congestion"
	case 38:
		return "Network out of order"
	case 127:
		return "Interworking, unspecified"
	}
	return "Cause " + strconv.Itoa(cause)
}
