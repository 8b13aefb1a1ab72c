//go:build !race

package session

// raceFactor is how much more memory a session takes with the race detector.
const raceFactor = 1
