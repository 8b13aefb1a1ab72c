package flowlint

import "go/types"

// isApps reports whether t is the type of that name of package apps, or a
// pointer to it.
func isApps(t types.Type, name string) bool {
	named, ok := deref(t).(*types.Named)
	if !ok {
		return false
	}
	obj := named.Obj()
	return obj.Name() == name && obj.Pkg() != nil && obj.Pkg().Path() == appsPath
}

// takesCall reports whether one of the parameters is an apps.Call, or an
// interface that embeds it.
func takesCall(sig *types.Signature) bool {
	for v := range sig.Params().Variables() {
		t := v.Type()
		if isApps(t, "Call") {
			return true
		}
		if iface, ok := t.Underlying().(*types.Interface); ok {
			for embedded := range iface.EmbeddedTypes() {
				if isApps(embedded, "Call") {
					return true
				}
			}
		}
	}
	return false
}

// isKind reports whether t, or one of the types that a type parameter stands
// for, is of a kind such as *types.Map.
func isKind[K types.Type](t types.Type) bool {
	if t == nil {
		return false
	}
	param, ok := types.Unalias(t).(*types.TypeParam)
	if !ok {
		_, ok := t.Underlying().(K)
		return ok
	}
	iface, ok := param.Constraint().Underlying().(*types.Interface)
	if !ok {
		return false
	}
	for embedded := range iface.EmbeddedTypes() {
		union, ok := embedded.(*types.Union)
		if !ok {
			if isKind[K](embedded) {
				return true
			}
			continue
		}
		for term := range union.Terms() {
			if isKind[K](term.Type()) {
				return true
			}
		}
	}
	return false
}

func deref(t types.Type) types.Type {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		return types.Unalias(p.Elem())
	}
	return t
}

// qualified names an object with the path of its package:
// "math/rand/v2.IntN", "sync.Mutex.Lock".
func qualified(obj types.Object) string {
	if obj.Pkg() == nil { // error.Error
		return inPackage(obj)
	}
	return obj.Pkg().Path() + "." + inPackage(obj)
}

// shortName names an object as code does: "rand.IntN", "sync.Mutex.Lock".
func shortName(obj types.Object) string {
	if obj.Pkg() == nil {
		return obj.Name()
	}
	return obj.Pkg().Name() + "." + inPackage(obj)
}

// inPackage names an object within its package: "Now", "Mutex.Lock".
func inPackage(obj types.Object) string {
	fn, ok := obj.(*types.Func)
	if !ok || fn.Signature().Recv() == nil {
		return obj.Name()
	}
	if named, ok := deref(fn.Signature().Recv().Type()).(*types.Named); ok {
		return named.Obj().Name() + "." + obj.Name()
	}
	return obj.Name()
}
