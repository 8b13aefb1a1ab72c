// Package flows breaks each rule once.
package flows

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"hash/maphash"
	"io"
	"log"
	"maps"
	"math/rand"
	randv2 "math/rand/v2"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"asterism/apps"

	"example.com/lib"
)

func Goroutine(ctx context.Context, _ apps.Env, call apps.Call, _ apps.Request) error {
	go call.Play(ctx, "a") // want `^a goroutine runs at another moment when the flow is replayed: do one thing after the other, with verbs$`
	return nil
}

func Channels(ctx context.Context, call apps.Call) {
	c := make(chan int, 1)
	select { // want `^select takes whichever channel is ready first, which differs when the flow is replayed: wait with a verb, such as call.Pause$`
	case <-c:
		time.Sleep(time.Second) // want `^time.Sleep waits again`
	default:
	}
	c <- 1        // want `^a channel leads to something that runs beside the flow`
	<-c           // want `^receiving from a channel waits`
	for range c { // want `^ranging over a channel waits`
	}
	close(c) // want `^a channel leads to`
}

func Maps(_ context.Context, _ apps.Call, req apps.Request) (all []string) {
	for k := range req.Vars { // want `^ranging over a map goes in another order when the flow is replayed: range over slices.Sorted\(maps.Keys\(m\)\)$`
		all = append(all, k)
	}
	for k := range maps.Keys(req.Vars) { // want `^maps.Keys goes in another order when the flow is replayed: sort at once, with slices.Sorted\(maps.Keys\(m\)\)$`
		all = append(all, k)
	}
	for _, v := range maps.All(req.Vars) { // want `^maps.All goes in another order`
		all = append(all, v)
	}
	all = append(all, slices.Collect(maps.Values(req.Vars))...) // want `^maps.Values goes in another order`
	less := func(a, b string) int { return len(a) - len(b) }
	all = append(all, slices.SortedFunc(maps.Keys(req.Vars), less)...) // want `^maps.Keys goes in another order`
	for _, k := range reflect.ValueOf(req.Vars).MapKeys() {            // want `^reflect.Value.MapKeys goes in another order`
		all = append(all, k.String())
	}
	return all
}

func Time(ctx context.Context, call apps.Call) {
	start := time.Now()              // want `^time.Now gives another time when the flow is replayed: use call.Now\(ctx\)$`
	_ = time.Since(start)            // want `^time.Since gives another time when the flow is replayed: subtract from call.Now\(ctx\)$`
	_ = time.Until(start)            // want `^time.Until gives`
	<-time.After(time.Second)        // want `^receiving from` `^time.After starts over when the flow is replayed, and acts beside it: use call.Pause$`
	<-time.Tick(time.Second)         // want `^receiving from` `^time.Tick starts over`
	t := time.NewTimer(time.Second)  // want `^time.NewTimer starts over`
	t.Stop()                         // want `^time.Timer.Stop starts over`
	time.NewTicker(time.Second)      // want `^time.NewTicker starts over`
	time.AfterFunc(time.Second, nil) // want `^time.AfterFunc starts over`
	_ = start.In(time.Local)         // want `^time.Local is the time zone of this machine, and the flow may be replayed on another: name the zone, with time.LoadLocation$`
	_ = start.Local()                // want `^time.Time.Local is the time zone`
	_ = time.UnixMilli(0).Hour()     // want `^time.UnixMilli is in the time zone of this machine, and the flow may be replayed on another: add .UTC\(\) or .In\(…\)$`
	now := time.Now                  // want `^time.Now gives`
	_ = now()
}

func Chance(ctx context.Context, call apps.Call) {
	_ = rand.Intn(3)                            // want `^rand.Intn gives another value when the flow is replayed: use call.Random\(ctx, n\)$`
	_ = randv2.N(3)                             // want `^rand.N gives another value when the flow is replayed: use call.Random\(ctx, n\)$`
	_ = randv2.New(nil).IntN(1)                 // want `^rand.New gives` `^rand.Rand.IntN gives`
	_ = crand.Text()                            // want `^rand.Text gives another value when the flow is replayed: use call.Random\(ctx, n\), or call.NewID\(ctx\) for an id$`
	_ = crand.Reader                            // want `^rand.Reader gives`
	_ = maphash.String(maphash.MakeSeed(), "a") // want `^maphash.String gives` `^maphash.MakeSeed gives`
}

func Contexts(ctx context.Context, call apps.Call) error {
	if ctx.Err() != nil { // want `^context.Context.Err may be otherwise when the flow is replayed than it was the first time: go on until a verb returns an error, and return that$`
		return context.Cause(ctx) // want `^context.Cause may be otherwise when the flow is replayed than it was the first time: look at the error that a verb returned, with errors.Is$`
	}
	_ = ctx.Done()                                     // want `^context.Context.Done may be`
	_, _ = ctx.Deadline()                              // want `^context.Context.Deadline may be`
	ctx, cancel := context.WithTimeout(ctx, time.Hour) // want `^context.WithTimeout starts over when the flow is replayed, and so is longer: use context.WithDeadline with a time after call.Now\(ctx\)$`
	defer cancel()
	context.AfterFunc(ctx, func() {}) // want `^context.AfterFunc is for what runs beside a flow`
	return call.Play(ctx, "a")
}

func Locks(ctx context.Context, call apps.Call) {
	var mu sync.Mutex
	mu.Lock() // want `^sync.Mutex.Lock is for what runs beside a flow, which a replay cannot repeat: a flow is one goroutine and needs no locks$`
	var n atomic.Int64
	n.Add(1)                 // want `^atomic.Int64.Add is for`
	sync.OnceFunc(func() {}) // want `^sync.OnceFunc is for`
}

func Outside(ctx context.Context, env apps.Env, call apps.Call, r io.Reader) {
	_, _ = os.ReadFile("a")            // want `^os.ReadFile reaches outside the flow, and would do so again when the flow is replayed: do it in call.Do, whose result is recorded$`
	_ = os.Args                        // want `^os.Args reaches`
	_, _ = http.Get("a")               // want `^http.Get reaches`
	_, _ = http.DefaultClient.Get("a") // want `^http.DefaultClient reaches` `^http.Client.Get reaches`
	_, _ = io.ReadAll(r)               // want `^io.ReadAll reaches`
	_, _ = r.Read(nil)                 // want `^io.Reader.Read reaches`
	fmt.Println("a")                   // want `^fmt.Println reaches outside the flow, and would do so again when the flow is replayed: use env.Note$`
	println("a")                       // want `^println writes past the call's log: use env.Note$`
	log.Print("a")                     // want `^log.Print reaches .*: use env.Note$`
	_, _ = env.Fetch(ctx, "a")         // want `^env.Fetch reaches outside the flow, and may answer differently when the flow is replayed: call it in call.Do$`
	_, _ = env.Store.Get(ctx, "a")     // want `^env.Store reaches`
	_ = runtime.NumCPU()               // want `^runtime.NumCPU differs from worker to worker: take it from the request or the configuration$`
	fetch := env.Fetch                 // want `^env.Fetch reaches`
	_, _ = fetch(ctx, "a")
	_ = lib.Now()         // want `^lib.Now is of a library, and may answer differently when the flow is replayed: use it in call.Do$`
	new(lib.Client).Get() // want `^lib.Client.Get is of a library`
	_ = debug.Stack()     // want `^debug.Stack differs`
}

type counters struct{ calls map[string]int }

func (c *counters) add(name string) { c.calls[name]++ }

var (
	calls  int
	byName = map[string]int{}
	total  counters
	hook   func()
)

func Shared(ctx context.Context, call apps.Call) {
	calls++          // want `^a package-level variable has another value on the worker that replays the flow, and here calls is set: keep state in variables of the flow, and between stages in what apps.Continue is given$`
	calls, x := 1, 2 // local
	_, _ = calls, x
	byName["a"] = 1                       // want `here byName is set`
	delete(byName, "a")                   // want `here byName is set`
	total.calls = nil                     // want `here total is set`
	total.add("a")                        // want `here add may set total`
	_ = &total                            // want `here the address of total is taken`
	hook, _ = nil, 1                      // want `here hook is set`
	for _, byName["a"] = range []int{1} { // want `here byName is set`
	}
}

// Text computes, and that is what flows are for.
func Text(ctx context.Context, call apps.Call) string {
	return strings.ToUpper(fmt.Sprint("a", time.Second, http.StatusOK, io.EOF, os.ErrNotExist))
}
