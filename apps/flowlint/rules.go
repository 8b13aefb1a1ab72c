package flowlint

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// stdRoots are the first elements of the paths of the standard library. A
// test holds the list to the installed Go.
var stdRoots = strings.Fields(`
	archive bufio bytes cmp compress container context crypto
	database debug embed encoding errors expvar flag fmt go hash html image
	index internal io iter log maps math mime net os path plugin reflect
	regexp runtime slices sort strconv strings structs sync syscall
	testing text time unicode unique unsafe vendor weak`)

func isStd(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return slices.Contains(stdRoots, first)
}

// isLibrary is true for another module: its path begins with a host.
func isLibrary(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".")
}

// pure are the packages of the standard library that compute: the same values
// in give the same values out, but for what unrepeatableStd names. All others
// are refused, so that a package that nobody thought of is not let through.
var pure = strings.Fields(`
	bufio bytes cmp container/heap container/list container/ring context
	crypto/hmac crypto/md5 crypto/sha1 crypto/sha256 crypto/sha3 crypto/sha512
	crypto/subtle embed encoding encoding/ascii85 encoding/base32
	encoding/base64 encoding/binary encoding/csv encoding/hex
	encoding/json encoding/xml errors fmt hash hash/adler32 hash/crc32
	hash/crc64 hash/fnv html html/template iter maps math math/big math/bits
	math/cmplx mime/quotedprintable net/mail net/netip
	net/url path path/filepath reflect regexp regexp/syntax slices sort
	strconv strings text/scanner text/tabwriter text/template
	text/template/parse time unicode unicode/utf16 unicode/utf8 unique`)

// harmless are single names of packages that are not pure.
var harmless = strings.Fields(`
	net.IP net.IPMask net.IPNet net.ParseIP net.ParseCIDR net.JoinHostPort
	net.SplitHostPort net/http.StatusText`)

// orderless are the functions for which it does not matter in which order the
// map that they are given is gone through. (Not slices.SortedFunc: what its
// function calls equal stays in the map's order.)
var orderless = []string{"slices.Sorted", "maps.Collect", "maps.Insert"}

const (
	useNow   = "call.Now(ctx)"
	usePause = "call.Pause"
	useDo    = "do it in call.Do, whose result is recorded"

	clock  = "gives another time when the flow is replayed"
	timer  = "starts over when the flow is replayed, and acts beside it"
	limit  = "starts over when the flow is replayed, and so is longer"
	ended  = "may be otherwise when the flow is replayed than it was the first time"
	order  = "goes in another order when the flow is replayed"
	local  = "is the time zone of this machine, and the flow may be replayed on another"
	zone   = "is in the time zone of this machine, and the flow may be replayed on another"
	effect = "reaches outside the flow, and would do so again when the flow is replayed"
	chance = "gives another value when the flow is replayed"
	beside = "is for what runs beside a flow, which a replay cannot repeat"
)

// instead is why something is refused and what to use.
type instead struct{ why, use string }

// unrepeatableStd are names of the pure packages that are not. The keys are
// qualified names.
var unrepeatableStd = map[string]instead{
	"time.Now":        {clock, "use " + useNow},
	"time.Since":      {clock, "subtract from " + useNow},
	"time.Until":      {clock, "subtract " + useNow},
	"time.Sleep":      {"waits again when the flow is replayed, also while the caller is gone", "use " + usePause},
	"time.After":      {timer, "use " + usePause},
	"time.AfterFunc":  {timer, "use " + usePause},
	"time.Tick":       {timer, "use " + usePause},
	"time.NewTimer":   {timer, "use " + usePause},
	"time.NewTicker":  {timer, "use " + usePause},
	"time.Timer":      {timer, "use " + usePause},
	"time.Ticker":     {timer, "use " + usePause},
	"time.Local":      {local, "name the zone, with time.LoadLocation"},
	"time.Unix":       {zone, "add .UTC() or .In(…)"},
	"time.UnixMilli":  {zone, "add .UTC() or .In(…)"},
	"time.UnixMicro":  {zone, "add .UTC() or .In(…)"},
	"time.Time.Local": {local, "name the zone, with time.LoadLocation and Time.In"},

	"context.Context.Err":               {ended, "go on until a verb returns an error, and return that"},
	"context.Context.Done":              {ended, "go on until a verb returns an error, and return that"},
	"context.Context.Deadline":          {ended, "go on until a verb returns an error, and return that"},
	"context.Cause":                     {ended, "look at the error that a verb returned, with errors.Is"},
	"context.AfterFunc":                 {beside, "do it after the verb that returned the error"},
	"context.WithTimeout":               {limit, "use context.WithDeadline with a time after call.Now(ctx)"},
	"context.WithTimeoutCause":          {limit, "use context.WithDeadline with a time after call.Now(ctx)"},
	"maps.Keys":                         {order, "sort at once, with slices.Sorted(maps.Keys(m))"},
	"maps.Values":                       {order, "range over slices.Sorted(maps.Keys(m))"},
	"maps.All":                          {order, "range over slices.Sorted(maps.Keys(m))"},
	"maps.DeleteFunc":                   {order, "delete in the order of slices.Sorted(maps.Keys(m))"},
	"maps.EqualFunc":                    {order, "compare in the order of slices.Sorted(maps.Keys(m))"},
	"reflect.Value.Pointer":             {chance, "use a value, not where it is"},
	"reflect.Value.UnsafePointer":       {chance, "use a value, not where it is"},
	"reflect.Value.UnsafeAddr":          {chance, "use a value, not where it is"},
	"reflect.Value.MapKeys":             {order, "sort the keys of a typed map, with slices.Sorted(maps.Keys(m))"},
	"reflect.Value.MapRange":            {order, "range over slices.Sorted(maps.Keys(m)) of a typed map"},
	"reflect.Value.Seq":                 {order, "range over a typed value"},
	"reflect.Value.Seq2":                {order, "range over a typed value"},
	"reflect.Select":                    {beside, "wait with a verb, such as " + usePause},
	"reflect.Value.Send":                {beside, "use variables and verbs"},
	"reflect.Value.Recv":                {beside, "wait with a verb, such as " + usePause},
	"reflect.Value.TrySend":             {beside, "use variables and verbs"},
	"reflect.Value.TryRecv":             {beside, "wait with a verb, such as " + usePause},
	"math/big.Int.Rand":                 {chance, "use call.Random(ctx, n)"},
	"fmt.Print":                         {effect, "use env.Note"},
	"fmt.Printf":                        {effect, "use env.Note"},
	"fmt.Println":                       {effect, "use env.Note"},
	"fmt.Scan":                          {effect, useDo},
	"fmt.Scanf":                         {effect, useDo},
	"fmt.Scanln":                        {effect, useDo},
	"path/filepath.Abs":                 {effect, useDo},
	"path/filepath.EvalSymlinks":        {effect, useDo},
	"path/filepath.Glob":                {effect, useDo},
	"path/filepath.Walk":                {effect, useDo},
	"path/filepath.WalkDir":             {effect, useDo},
	"text/template.ParseFiles":          {effect, "parse embedded text, or " + useDo},
	"text/template.ParseGlob":           {effect, "parse embedded text, or " + useDo},
	"html/template.ParseFiles":          {effect, "parse embedded text, or " + useDo},
	"html/template.ParseGlob":           {effect, "parse embedded text, or " + useDo},
	"text/template.Template.ParseFiles": {effect, "parse embedded text, or " + useDo},
	"text/template.Template.ParseGlob":  {effect, "parse embedded text, or " + useDo},
	"html/template.Template.ParseFiles": {effect, "parse embedded text, or " + useDo},
	"html/template.Template.ParseGlob":  {effect, "parse embedded text, or " + useDo},
}

// unrepeatablePackages say what to use instead of packages that are not pure.
// A path ending in "/" stands for all below it.
var unrepeatablePackages = []struct {
	path string
	instead
}{
	{"math/rand", instead{chance, "use call.Random(ctx, n)"}},
	{"math/rand/", instead{chance, "use call.Random(ctx, n)"}},
	{"crypto/rand", instead{chance, "use call.Random(ctx, n), or call.NewID(ctx) for an id"}},
	{"hash/maphash", instead{chance, "use hash/fnv"}},
	{"sync", instead{beside, "a flow is one goroutine and needs no locks"}},
	{"sync/", instead{beside, "a flow is one goroutine and needs no locks"}},
	{"runtime", instead{"differs from worker to worker", "take it from the request or the configuration"}},
	{"runtime/", instead{"differs from worker to worker", "take it from the request or the configuration"}},
	{"log", instead{effect, "use env.Note"}},
	{"log/", instead{effect, "use env.Note"}},
	{"os", instead{effect, useDo}},
	{"os/", instead{effect, useDo}},
	{"io", instead{effect, useDo}},
	{"io/", instead{effect, useDo}},
	{"net", instead{effect, useDo}},
	{"net/", instead{effect, useDo}},
	{"syscall", instead{effect, useDo}},
	{"database/", instead{effect, useDo}},
}

// streams are the types of the standard library that change as they are used,
// but for what readers names.
var streams = strings.Fields(`
	bufio.ReadWriter bufio.Reader bufio.Scanner bufio.Writer bytes.Buffer
	bytes.Reader container/list.List encoding/json.Decoder
	encoding/json.Encoder strings.Builder strings.Reader`)

// readers are the methods with a pointer for a receiver that change nothing.
var readers = strings.Fields(`Back Bytes Cap Cmp Err Error Front Len Sign Size String Text`)

// setsArgs are the functions that set what one of their arguments refers to,
// by the first such argument.
var setsArgs = map[string]int{
	"encoding/json.Unmarshal":      1,
	"encoding/json.Decoder.Decode": 0,
	"encoding/xml.Unmarshal":       1,
	"encoding/xml.Decoder.Decode":  0,
	"errors.As":                    1,
	"fmt.Fscan":                    1,
	"fmt.Fscanf":                   2,
	"fmt.Fscanln":                  1,
	"fmt.Sscan":                    1,
	"fmt.Sscanf":                   2,
	"fmt.Sscanln":                  1,
	"io.ReadFull":                  1,
	"io.Reader.Read":               0,
	"maps.Copy":                    0,
	"maps.DeleteFunc":              0,
	"maps.Insert":                  0,
	"os.File.Read":                 0,
	"slices.Reverse":               0,
	"slices.Sort":                  0,
	"slices.SortFunc":              0,
	"slices.SortStableFunc":        0,
	"sort.Float64s":                0,
	"sort.Ints":                    0,
	"sort.Slice":                   0,
	"sort.SliceStable":             0,
	"sort.Sort":                    0,
	"sort.Stable":                  0,
	"sort.Strings":                 0,
}

// stdMessage is what to say to somebody who uses obj of the standard library
// in a flow; "" when he may.
func stdMessage(obj types.Object) string {
	if _, ok := obj.(*types.Var); ok && types.Identical(obj.Type(), types.Universe.Lookup("error").Type()) {
		return "" // io.EOF and its like
	}
	path, name := obj.Pkg().Path(), qualified(obj)
	say := func(i instead) string { return fmt.Sprintf("%s %s: %s", shortName(obj), i.why, i.use) }
	owner := path + "." + strings.Split(inPackage(obj), ".")[0] // the type, of a method
	for _, key := range []string{name, owner} {
		if i, ok := unrepeatableStd[key]; ok {
			return say(i)
		}
	}
	if slices.Contains(pure, path) || slices.Contains(harmless, name) || slices.Contains(harmless, owner) {
		return ""
	}
	for _, p := range unrepeatablePackages {
		if p.path == path || (strings.HasSuffix(p.path, "/") && strings.HasPrefix(path, p.path)) {
			return say(p.instead)
		}
	}
	return say(instead{"may answer differently when the flow is replayed", "use it in call.Do, or name it in apps/flowlint/rules.go if it only computes"})
}
