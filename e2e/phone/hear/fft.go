package hear

import (
	"math"
	"math/bits"
	"math/cmplx"
)

// transform replaces x, whose length is a power of two, by its discrete Fourier transform (radix 2, in place).
func transform(x []complex128) {
	n := len(x)
	shift := 64 - bits.Len(uint(n)) + 1
	for i := range x {
		if j := int(bits.Reverse64(uint64(i)) >> shift); i < j {
			x[i], x[j] = x[j], x[i]
		}
	}
	twiddles := make([]complex128, n/2)
	for i := range twiddles {
		twiddles[i] = cmplx.Rect(1, -2*math.Pi*float64(i)/float64(n))
	}
	for size := 2; size <= n; size *= 2 {
		half, step := size/2, n/size
		for start := 0; start < n; start += size {
			low, high := x[start:start+half], x[start+half:start+size]
			for k := range low {
				t := high[k] * twiddles[k*step]
				low[k], high[k] = low[k]+t, low[k]-t
			}
		}
	}
}

// crossCorrelation returns c with c[k+len(b)-1] = Σ a[k+i]·b[i] for all k from −(len(b)−1) to len(a)−1.
func crossCorrelation(a, b []float64) []float64 {
	length := len(a) + len(b) - 1
	n := 2
	for n < length {
		n *= 2
	}
	// Two real signals in one complex transform: a, and b backwards, whose convolution is the correlation.
	x := make([]complex128, n)
	for i, v := range a {
		x[i] = complex(v, 0)
	}
	for i, v := range b {
		x[len(b)-1-i] += complex(0, v)
	}
	transform(x)
	product := make([]complex128, n)
	for k := range x {
		mirror := cmplx.Conj(x[(n-k)%n])
		fa, fb := (x[k]+mirror)/2, (x[k]-mirror)/2i
		product[k] = cmplx.Conj(fa * fb) // Conjugated, the forward transform is the inverse one.
	}
	transform(product)
	c := make([]float64, length)
	for i := range c {
		c[i] = real(product[i]) / float64(n)
	}
	return c
}
