package flowlint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/types/typeutil"
)

// walk collects what body does and what it refers to. Function literals in it
// belong to it, but those that take a call, which are flows of their own.
func (l *linter) walk(n *node, body ast.Node) {
	ast.Inspect(body, func(at ast.Node) bool {
		if l.effect[at] {
			n.finds = append(n.finds, l.checkEffect(at)...)
			return false
		}
		switch at := at.(type) {
		case *ast.FuncLit:
			if sig, ok := l.TypesInfo.TypeOf(at).(*types.Signature); ok && takesCall(sig) {
				flow := &node{name: fmt.Sprintf("the function in %s", n.name), flow: true, ignored: n.ignored}
				l.add(flow)
				l.walk(flow, at.Body)
				return false
			}
		case *ast.GoStmt:
			n.find(at.Pos(), "a goroutine runs at another moment when the flow is replayed: do one thing after the other, with verbs")
		case *ast.SelectStmt:
			n.find(at.Pos(), "select takes whichever channel is ready first, which differs when the flow is replayed: wait with a verb, such as call.Pause")
			for _, clause := range at.Body.List {
				if comm, ok := clause.(*ast.CommClause); ok {
					for _, stmt := range comm.Body {
						l.walk(n, stmt)
					}
				}
			}
			return false
		case *ast.SendStmt:
			n.find(at.Arrow, "a channel leads to something that runs beside the flow, which a replay cannot repeat: use variables and verbs")
		case *ast.UnaryExpr:
			l.checkUnary(n, at)
		case *ast.RangeStmt:
			l.checkRange(n, at)
		case *ast.AssignStmt:
			for _, left := range at.Lhs {
				l.checkWrite(n, left)
			}
			if last, ok := at.Lhs[len(at.Lhs)-1].(*ast.Ident); ok && last.Name == "_" && len(at.Rhs) == 1 {
				l.checkDropped(n, at.Rhs[0])
			}
		case *ast.ExprStmt:
			l.checkDropped(n, at.X)
		case *ast.DeferStmt:
			l.checkDropped(n, at.Call)
		case *ast.IncDecStmt:
			l.checkWrite(n, at.X)
		case *ast.CallExpr:
			l.checkCall(n, at)
		case *ast.SelectorExpr:
			l.checkSelector(n, at)
		case *ast.Ident:
			l.use(n, at)
		}
		return true
	})
}

func (n *node) find(pos token.Pos, message string) {
	n.finds = append(n.finds, finding{pos, message})
}

func (l *linter) checkUnary(n *node, at *ast.UnaryExpr) {
	if at.Op == token.ARROW {
		n.find(at.Pos(), "receiving from a channel waits for something beside the flow, which a replay cannot repeat: wait with a verb, such as call.Pause")
	}
	if v := l.packageVar(at.X); v != nil && at.Op == token.AND {
		n.find(at.Pos(), sharedMessage("the address of "+v.Name()+" is taken"))
	}
}

func (l *linter) checkRange(n *node, at *ast.RangeStmt) {
	for _, left := range []ast.Expr{at.Key, at.Value} {
		if left != nil && at.Tok == token.ASSIGN {
			l.checkWrite(n, left)
		}
	}
	t := l.TypesInfo.TypeOf(at.X)
	switch {
	case isKind[*types.Chan](t):
		n.find(at.For, "ranging over a channel waits for something beside the flow, which a replay cannot repeat: wait with a verb, such as call.Pause")
	case isKind[*types.Map](t) && at.Key != nil:
		n.find(at.For, "ranging over a map goes in another order when the flow is replayed: range over slices.Sorted(maps.Keys(m))")
	}
}

// checkWrite refuses to set what flows share.
func (l *linter) checkWrite(n *node, left ast.Expr) {
	if v := l.packageVar(left); v != nil {
		n.find(left.Pos(), sharedMessage(v.Name()+" is set"))
	}
}

func sharedMessage(what string) string {
	return "a package-level variable has another value on the worker that replays the flow, and here " + what +
		": keep state in variables of the flow, and between stages in what apps.Continue is given"
}

// packageVar is the package-level variable that expr is, or is a part of.
func (l *linter) packageVar(expr ast.Expr) *types.Var {
	v, ok := l.root(expr).(*types.Var)
	if ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
		return v
	}
	return nil
}

// root is the variable whose memory expr is in, as far as one can see.
func (l *linter) root(expr ast.Expr) types.Object {
	switch expr := ast.Unparen(expr).(type) {
	case *ast.Ident:
		return l.TypesInfo.Uses[expr]
	case *ast.SelectorExpr:
		if id, ok := expr.X.(*ast.Ident); ok {
			if _, ok := l.TypesInfo.Uses[id].(*types.PkgName); ok {
				return l.TypesInfo.Uses[expr.Sel]
			}
		}
		return l.root(expr.X)
	case *ast.IndexExpr:
		return l.root(expr.X)
	case *ast.SliceExpr:
		return l.root(expr.X)
	case *ast.StarExpr:
		return l.root(expr.X)
	}
	return nil
}

// checkCall looks at what a call does beside what its name says.
func (l *linter) checkCall(n *node, call *ast.CallExpr) {
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if builtin, ok := l.TypesInfo.Uses[id].(*types.Builtin); ok {
			l.checkBuiltin(n, call, builtin.Name())
			return
		}
	}
	fn, _ := typeutil.Callee(l.TypesInfo, call).(*types.Func)
	l.markSorted(call, fn)
	l.checkConstants(n, call, fn)
	if isVerb(fn) {
		l.called[nameOf(call.Fun)] = true
	}
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	// v.Method() takes the address of v.
	if fn == nil || fn.Signature().Recv() == nil || !isKind[*types.Pointer](fn.Signature().Recv().Type()) {
		return
	}
	if v := l.packageVar(sel.X); v != nil && !isKind[*types.Pointer](l.TypesInfo.TypeOf(sel.X)) {
		n.find(sel.Pos(), sharedMessage(fn.Name()+" may set "+v.Name()))
	}
}

func (l *linter) checkBuiltin(n *node, call *ast.CallExpr, name string) {
	switch name {
	case "close":
		n.find(call.Pos(), "a channel leads to something that runs beside the flow, which a replay cannot repeat: use variables and verbs")
	case "delete", "clear", "copy":
		l.checkWrite(n, call.Args[0])
	case "print", "println":
		n.find(call.Pos(), name+" writes past the call's log: use env.Note")
	}
}

// markSorted remembers the functions of package maps whose order is put right
// at once, as in slices.Sorted(maps.Keys(m)).
func (l *linter) markSorted(call *ast.CallExpr, fn *types.Func) {
	if fn == nil || !slices.Contains(orderless, qualified(fn)) {
		return
	}
	for _, arg := range call.Args {
		inner, ok := ast.Unparen(arg).(*ast.CallExpr)
		if !ok {
			continue
		}
		if sel, ok := ast.Unparen(inner.Fun).(*ast.SelectorExpr); ok {
			l.harmless[sel.Sel] = true
		}
	}
}

// checkSelector refuses what reaches outside by a field of apps.Env, other than
// Log. It also marks the times that are put into a zone at once.
func (l *linter) checkSelector(n *node, sel *ast.SelectorExpr) {
	if call, ok := ast.Unparen(sel.X).(*ast.CallExpr); ok && (sel.Sel.Name == "UTC" || sel.Sel.Name == "In") {
		if inner, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok && l.isTimeZoned(inner.Sel) {
			l.harmless[inner.Sel] = true
		}
	}
	s := l.TypesInfo.Selections[sel]
	if s == nil || s.Kind() != types.FieldVal || s.Obj().Name() == "Log" || !isApps(s.Recv(), "Env") {
		return
	}
	if isKind[*types.Signature](s.Type()) || isKind[*types.Interface](s.Type()) {
		n.find(sel.Pos(), fmt.Sprintf("env.%s reaches outside the flow, and may answer differently when the flow is replayed: call it in call.Do", s.Obj().Name()))
	}
}

// isTimeZoned reports whether id is a function that returns a time in the zone
// of the machine.
func (l *linter) isTimeZoned(id *ast.Ident) bool {
	obj := l.TypesInfo.Uses[id]
	return obj != nil && unrepeatableStd[qualified(obj)].why == zone
}

// use looks at a name: whether flow code may use it, and where it leads.
func (l *linter) use(n *node, id *ast.Ident) {
	switch obj := l.TypesInfo.Uses[id].(type) {
	case *types.Func:
		obj = obj.Origin()
		if recv := obj.Signature().Recv(); recv != nil && isKind[*types.Interface](recv.Type()) {
			l.useInterface(n, id, obj)
			return
		}
		l.useObject(n, id, obj)
	case *types.Var:
		if obj.Pkg() != nil && obj.Parent() == obj.Pkg().Scope() {
			l.useObject(n, id, obj)
		}
	}
}

func (l *linter) useObject(n *node, id *ast.Ident, obj types.Object) {
	path := obj.Pkg().Path()
	var fact unrepeatable
	switch {
	case obj.Pkg() == l.Pkg:
		n.refs = append(n.refs, obj)
	case isStd(path):
		if message := stdMessage(obj); message != "" && !l.harmless[id] {
			n.find(id.Pos(), message)
		}
	case isLibrary(path):
		n.find(id.Pos(), fmt.Sprintf("%s is of a library, and may answer differently when the flow is replayed: use it in call.Do", shortName(obj)))
	case l.ImportObjectFact(obj, &fact):
		n.find(id.Pos(), shortName(obj)+" is not fit for a flow: "+fact.Message)
	}
}

// useInterface follows a method of an interface to the types that have it, as
// far as they are in sight: in this package, and in those it imports.
func (l *linter) useInterface(n *node, id *ast.Ident, method *types.Func) {
	if isApps(method.Signature().Recv().Type(), "Call") {
		if !l.called[id] {
			n.find(id.Pos(), fmt.Sprintf("%s is taken as a value, by which it could be called in Do unseen: call it by its name, or in a function of yours", method.Name()))
		}
		return // a verb
	}
	if method.Pkg() != nil && isStd(method.Pkg().Path()) {
		if message := stdMessage(method); message != "" {
			n.find(id.Pos(), message)
			return
		}
	}
	iface, ok := method.Signature().Recv().Type().Underlying().(*types.Interface)
	if !ok {
		return
	}
	scope := l.Pkg.Scope()
	for _, name := range scope.Names() {
		if named, ok := scope.Lookup(name).(*types.TypeName); ok && !named.IsAlias() {
			if fn := implementation(named.Type(), iface, method); fn != nil && fn.Pkg() == l.Pkg {
				n.refs = append(n.refs, fn.Origin())
			}
		}
	}
	for _, known := range l.AllObjectFacts() {
		fn, ok := known.Object.(*types.Func)
		fact, unfit := known.Fact.(*unrepeatable)
		if !ok || !unfit || fn.Pkg() == l.Pkg || fn.Name() != method.Name() || fn.Signature().Recv() == nil {
			continue
		}
		if implementation(deref(fn.Signature().Recv().Type()), iface, method) == fn {
			n.find(id.Pos(), shortName(fn)+" is not fit for a flow: "+fact.Message)
		}
	}
}

// implementation is the method that t has for a method of iface, nil if t is
// not one of its types. Of generic types the names of methods decide.
func implementation(t types.Type, iface *types.Interface, method *types.Func) *types.Func {
	if isKind[*types.Interface](t) {
		return nil
	}
	named, ok := t.(*types.Named)
	if !ok {
		return nil
	}
	if named.TypeParams().Len() == 0 && !types.Implements(named, iface) && !types.Implements(types.NewPointer(named), iface) {
		return nil
	}
	set := types.NewMethodSet(types.NewPointer(named))
	for wanted := range iface.Methods() {
		if set.Lookup(wanted.Pkg(), wanted.Name()) == nil {
			return nil
		}
	}
	selection := set.Lookup(method.Pkg(), method.Name())
	if selection == nil {
		return nil
	}
	fn, _ := selection.Obj().(*types.Func)
	return fn
}
