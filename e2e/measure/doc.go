// Package measure is what the benchmarks share: what processes use, what
// their metrics say, and tables that people can read. It knows nothing of
// what is measured. It reads /proc and so works on Linux only.
package measure
