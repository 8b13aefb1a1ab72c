// Package lib is of another module.
package lib

import "time"

func Now() time.Time { return time.Now() }

type Client struct{}

func (*Client) Get() {}

const Limit = 3
