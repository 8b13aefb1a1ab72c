// Package s3server runs a real S3 server for tests: versitygw, a process of its
// own that keeps objects in a directory. Its version is pinned in
// e2e/tools/versitygw/go.mod; the first use builds it, which takes minutes.
//
// The package knows how to build, start and stop the server, and nothing of
// what is stored in it.
package s3server
