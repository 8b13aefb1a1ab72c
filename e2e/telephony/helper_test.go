package telephony_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"asterism/e2e/telephony"
)

// helper is what this test binary does when a test starts it as another
// process: it runs a program of the root, says its pid, and waits to be killed.
func helper() bool {
	if os.Getenv("TELEPHONY_TEST_HELPER") == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	root, err := telephony.Prepare(ctx, telephony.Config{})
	if err != nil {
		fmt.Println("error", err)
		return true
	}
	p, err := root.Start(ctx, telephony.Program{
		Name: "sleep", Args: []string{"60"}, Binds: []telephony.Bind{{Source: os.Getenv("TELEPHONY_TEST_HELPER")}},
	})
	if err != nil {
		fmt.Println("error", err)
		return true
	}
	fmt.Println("pid", p.Pid())
	<-p.Done()
	return true
}
