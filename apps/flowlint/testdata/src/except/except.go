// Package except has exceptions.
package except

import (
	"context"
	"time"

	"asterism/apps"
)

func Flow(ctx context.Context, call apps.Call, m map[string]int) {
	sum := 0
	for _, n := range m { //flowlint:ignore a sum has no order
		sum += n
	}
	//flowlint:ignore a sum has no order
	for _, n := range m {
		sum += n
	}
	_ = time.Now() // want `^time.Now gives`
	whole()
	/* want `^//flowlint:ignore gives no reason: write down why a replay does no harm here$` */ //flowlint:ignore
	_ = time.Now()                                                                              // want `^time.Now gives`
	/* want `^//flowlint:ignore excepts nothing: remove it$` */ //flowlint:ignore once there was something here
	_ = sum
	//flowlint:ignored is no exception
	_ = time.Now() // want `^time.Now gives`
}

// whole is excepted with all that it does.
//
//flowlint:ignore for its log line only
func whole() {
	_ = time.Now()
	part()
}

func part() { time.Sleep(1) }

// beside is in no flow, but might be.
func beside() {
	_ = time.Now() //flowlint:ignore for its log line only
}

/* want `^//flowlint:ignore excepts nothing: remove it$` */ //flowlint:ignore it was bad once
func fine()                                                 {}
