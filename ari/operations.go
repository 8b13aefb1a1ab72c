package ari

import (
	"net/url"
	"strings"
	"sync"
)

// Operation is one operation of ARI as Asterisk declares it.
type Operation struct {
	// ID is resource and declared name, such as channels.continueInDialplan: a label of bounded number.
	ID string
	// Method and Path say how it is asked for; Path has its parameters in braces and lacks http.conf's prefix and /ari.
	Method, Path string
	// Websocket marks the one operation that is no request but the event stream.
	Websocket bool
}

// Operations returns all operations of ARI.
func Operations() []Operation { return append([]Operation(nil), operationTable[:]...) }

// FindOperation returns the operation that a request is for, and the values of the parameters in its path, in their
// order and unescaped. The path is escaped, without /ari and without a query: "/channels/1700000000.1/play". Fixed
// words win over parameters, as in Asterisk.
func FindOperation(method, escapedPath string) (op Operation, params []string, ok bool) {
	path, found := strings.CutPrefix(escapedPath, "/")
	if !found {
		return Operation{}, nil, false
	}
	segments := strings.Split(path, "/")
	var best *route
	routes := operationRoutes()[routeKey{method, segments[0], len(segments)}]
	for i := range routes {
		if routes[i].matches(segments) && (best == nil || len(routes[i].params) < len(best.params)) {
			best = &routes[i]
		}
	}
	if best == nil {
		return Operation{}, nil, false
	}
	for _, i := range best.params {
		v, err := url.PathUnescape(segments[i])
		if err != nil || v == "" {
			return Operation{}, nil, false
		}
		params = append(params, v)
	}
	return *best.op, params, true
}

// routeKey narrows the search: no two resources share a first word.
type routeKey struct {
	method, first string
	segments      int
}

type route struct {
	op       *Operation
	segments []string
	params   []int // indexes of the segments that are parameters
}

func (r *route) matches(segments []string) bool {
	for i, s := range r.segments {
		if s[0] != '{' && s != segments[i] {
			return false
		}
	}
	return true
}

var operationRoutes = sync.OnceValue(func() map[routeKey][]route {
	out := map[routeKey][]route{}
	for i := range operationTable {
		op := &operationTable[i]
		r := route{op: op, segments: strings.Split(op.Path[1:], "/")}
		for j, s := range r.segments {
			if s[0] == '{' {
				r.params = append(r.params, j)
			}
		}
		key := routeKey{op.Method, r.segments[0], len(r.segments)}
		out[key] = append(out[key], r)
	}
	return out
})
