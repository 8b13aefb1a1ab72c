// Package storagetest holds what tests of storage share: one conformance suite
// for every storage.Bucket, and a wrapper that makes a bucket misbehave on
// demand. It knows nothing of what is stored.
package storagetest
