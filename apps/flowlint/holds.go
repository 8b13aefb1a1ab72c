package flowlint

import (
	"go/ast"
	"go/types"
	"slices"
)

// isVerb reports whether fn is a method of apps.Call.
func isVerb(fn *types.Func) bool {
	return fn != nil && fn.Signature().Recv() != nil && isApps(fn.Signature().Recv().Type(), "Call")
}

// isStream reports whether t is one of the types that change as they are used,
// or a pointer to it.
func isStream(t types.Type) bool {
	named, ok := deref(t).(*types.Named)
	return ok && slices.Contains(streams, qualified(named.Obj()))
}

// holdsCall reports whether one comes to an apps.Call by a value of type t:
// by its fields or elements, or since t is an interface with verbs.
func (l *linter) holdsCall(t types.Type) bool {
	return l.holds(t, make(map[types.Type]bool))
}

func (l *linter) holds(t types.Type, seen map[types.Type]bool) bool {
	if t == nil || seen[t] {
		return false
	}
	seen[t] = true
	if isApps(t, "Call") {
		return true
	}
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		path := ""
		if t.Obj().Pkg() != nil {
			path = t.Obj().Pkg().Path()
		}
		for arg := range t.TypeArgs().Types() {
			if l.holds(arg, seen) {
				return true
			}
		}
		return !isStd(path) && !isLibrary(path) && l.holds(t.Underlying(), seen)
	case *types.Pointer:
		return l.holds(t.Elem(), seen)
	case *types.Slice:
		return l.holds(t.Elem(), seen)
	case *types.Array:
		return l.holds(t.Elem(), seen)
	case *types.Map:
		return l.holds(t.Key(), seen) || l.holds(t.Elem(), seen)
	case *types.Struct:
		for field := range t.Fields() {
			if l.holds(field.Type(), seen) {
				return true
			}
		}
	case *types.Interface:
		call := l.callType()
		return t.NumMethods() > 0 && call != nil && types.Implements(call, t)
	}
	return false
}

// callType is apps.Call, nil where apps is not imported.
func (l *linter) callType() types.Type {
	for _, pkg := range append(l.Pkg.Imports(), l.Pkg) {
		if pkg.Path() == appsPath {
			if obj := pkg.Scope().Lookup("Call"); obj != nil {
				return obj.Type()
			}
		}
	}
	return nil
}

// nameOf is the name of what a call calls, nil if it has none.
func nameOf(fun ast.Expr) *ast.Ident {
	switch fun := ast.Unparen(fun).(type) {
	case *ast.Ident:
		return fun
	case *ast.SelectorExpr:
		return fun.Sel
	}
	return nil
}
