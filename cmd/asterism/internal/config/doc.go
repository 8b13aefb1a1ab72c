// Package config reads the configuration of asterism: one YAML file, then
// environment variables, then flags, each stronger than the one before.
//
// [Load] never stops at the first mistake. It collects every [Problem] with
// the place it comes from (file, line and column; environment variable; flag)
// and what was expected there, so that one run of "asterism check" is enough
// to mend a file. Unknown keys are mistakes, with a guess at what was meant.
//
// A secret is a [Secret], which prints as stars, and can always be given as a
// file instead: password_file beside password.
//
// The package knows what values mean (addresses, sizes, roles) but starts
// nothing and must not import the packages that it configures.
package config
