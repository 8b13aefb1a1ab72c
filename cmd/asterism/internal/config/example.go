package config

import _ "embed"

// Example is a configuration file that documents every key and holds the
// defaults.
//
//go:embed example.yaml
var Example string
