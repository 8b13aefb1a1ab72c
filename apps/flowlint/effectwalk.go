package flowlint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/types/typeutil"
)

// checkEffect looks through a function that Do runs, a literal or a name: it
// may do anything, but no verbs, and nothing that the flow needs again when the
// function is not run a second time.
func (l *linter) checkEffect(at ast.Node) []finding {
	switch at := at.(type) {
	case *ast.FuncLit:
		w := &effectWalk{linter: l, from: at.Pos(), to: at.End()}
		return w.walk(at.Body)
	case *ast.Ident, *ast.SelectorExpr, *ast.IndexExpr:
		expr, _ := at.(ast.Expr)
		// What stands there is called as good as in a function of no line.
		w := &effectWalk{linter: l, from: token.NoPos, to: token.NoPos}
		return w.walk(expr)
	}
	return nil
}

// effectWalk is the way through one function that is called in Do.
type effectWalk struct {
	*linter
	from, to token.Pos    // where the function's own variables are
	copied   types.Object // a receiver that is a copy: setting it sets nothing outside
	said     map[ast.Node]bool
	finds    []finding
}

func (w *effectWalk) find(pos token.Pos, format string, args ...any) {
	w.finds = append(w.finds, finding{pos, fmt.Sprintf(format, args...)})
}

// outer is the variable of the flow, or of a package, that expr is a part of.
func (w *effectWalk) outer(expr ast.Expr) *types.Var {
	v, ok := w.root(expr).(*types.Var)
	if !ok || v.Name() == "_" || v.IsField() || (w.from <= v.Pos() && v.Pos() < w.to) {
		return nil
	}
	return v
}

// flowVar is outer without the variables of packages.
func (w *effectWalk) flowVar(expr ast.Expr) *types.Var {
	if v := w.outer(expr); v != nil && w.packageVar(expr) == nil {
		return v
	}
	return nil
}

func (w *effectWalk) write(expr ast.Expr) {
	if v := w.outer(expr); v != nil && v != w.copied {
		w.find(expr.Pos(), "%s is set in Do, which is not run again when the flow is replayed, so %s would keep its old value: return the value from Do", v.Name(), v.Name())
	}
}

func (w *effectWalk) mayWrite(pos token.Pos, v *types.Var, how string) {
	if v != w.copied {
		w.find(pos, "%s may set %s in Do, which is not run again when the flow is replayed, so %s would keep its old value: use a variable of Do, and return the value", how, v.Name(), v.Name())
	}
}

func (w *effectWalk) walk(body ast.Node) []finding {
	w.said = make(map[ast.Node]bool)
	ast.Inspect(body, func(at ast.Node) bool {
		switch at := at.(type) {
		case *ast.AssignStmt:
			for _, left := range at.Lhs {
				w.write(left)
			}
		case *ast.IncDecStmt:
			w.write(at.X)
		case *ast.RangeStmt:
			if at.Tok == token.ASSIGN {
				w.write(at.Key)
				if at.Value != nil {
					w.write(at.Value)
				}
			}
		case *ast.UnaryExpr:
			if v := w.flowVar(at.X); v != nil && at.Op == token.AND {
				w.mayWrite(at.Pos(), v, "who has the address of "+v.Name())
			}
		case *ast.CallExpr:
			w.call(at)
		case *ast.SelectorExpr:
			w.selector(at)
		case *ast.Ident:
			w.name(at)
		}
		return true
	})
	return w.finds
}

// call looks at what a call does to its arguments.
func (w *effectWalk) call(call *ast.CallExpr) {
	if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
		if builtin, ok := w.TypesInfo.Uses[id].(*types.Builtin); ok && slices.Contains([]string{"delete", "clear", "copy"}, builtin.Name()) {
			w.write(call.Args[0])
		}
	}
	fn, ok := typeutil.Callee(w.TypesInfo, call).(*types.Func)
	if !ok {
		return
	}
	if first, ok := setsArgs[qualified(fn.Origin())]; ok {
		for i, arg := range call.Args {
			if i == first || (i > first && fn.Signature().Variadic()) {
				w.write(arg)
			}
		}
	}
	if takesCall(fn.Signature()) { // said of its name
		for _, arg := range call.Args {
			w.said[ast.Unparen(arg)] = true
		}
	}
}

// selector looks at v.f and v.m of an outer v.
func (w *effectWalk) selector(sel *ast.SelectorExpr) {
	s := w.TypesInfo.Selections[sel]
	v := w.outer(sel.X)
	if s == nil || v == nil {
		return
	}
	if s.Kind() == types.FieldVal {
		if !w.holdsCall(s.Type()) && !isStream(s.Type()) {
			w.hush(sel.X)
		}
		return
	}
	fn, ok := s.Obj().(*types.Func)
	if !ok {
		return
	}
	fn = fn.Origin()
	if isVerb(fn) {
		w.hush(sel.X) // said of its name
		return
	}
	if decl := w.decls[fn]; decl != nil && decl.Body != nil {
		w.hush(sel.X)
		if flaw := w.flawOf(decl); flaw != "" {
			w.find(sel.Sel.Pos(), "%s is not fit for Do: %s", fn.Name(), flaw)
		}
		return
	}
	if w.holdsCall(w.TypesInfo.TypeOf(sel.X)) {
		return // said of v
	}
	w.hush(sel.X)
	recv := fn.Signature().Recv().Type()
	if v = w.flowVar(sel.X); v == nil || !isKind[*types.Pointer](recv) {
		return
	}
	known := fn.Pkg() != nil && isStd(fn.Pkg().Path())
	pointed := isKind[*types.Pointer](w.TypesInfo.TypeOf(sel.X))
	switch {
	case known && (slices.Contains(readers, fn.Name()) || !slices.Contains(pure, fn.Pkg().Path())):
	case pointed && !isStream(recv):
	default:
		w.mayWrite(sel.Pos(), v, fn.Name())
	}
}

// hush says that the variable that expr is a part of does no harm there.
func (w *effectWalk) hush(expr ast.Expr) {
	for {
		w.said[expr] = true
		switch at := expr.(type) {
		case *ast.ParenExpr:
			expr = at.X
		case *ast.SelectorExpr:
			expr = at.X
		case *ast.IndexExpr:
			expr = at.X
		case *ast.SliceExpr:
			expr = at.X
		case *ast.StarExpr:
			expr = at.X
		default:
			return
		}
	}
}

func (w *effectWalk) name(id *ast.Ident) {
	switch obj := w.TypesInfo.Uses[id].(type) {
	case *types.Func:
		if takesCall(obj.Signature()) || isVerb(obj) {
			w.find(id.Pos(), "%s in Do is not run when the flow is replayed, so the log would not fit any more: call it before or after Do", obj.Name())
		}
	case *types.Var:
		if w.outer(id) == nil || w.said[id] {
			return
		}
		lit := w.lits[obj]
		switch {
		case lit != nil && !w.effect[lit]:
			if flaw := w.flawOf(lit); flaw != "" {
				w.find(id.Pos(), "%s is not fit for Do: %s", obj.Name(), flaw)
			}
		case w.holdsCall(obj.Type()):
			w.find(id.Pos(), "%s holds the Call, whose verbs in Do are not run when the flow is replayed: use only those of its fields in Do that are needed", obj.Name())
		case isStream(obj.Type()) && w.flowVar(id) != nil && isKind[*types.Pointer](obj.Type()):
			w.mayWrite(id.Pos(), obj, "what is given "+obj.Name())
		}
	}
}

// flawOf says why a function of this package may not be called in Do; "" when
// it may. What is wrong with its receiver counts.
func (l *linter) flawOf(fn ast.Node) string {
	if known := l.flaws[fn]; known != nil {
		return *known
	}
	flaw := ""
	l.flaws[fn] = &flaw // it may call itself
	w := &effectWalk{linter: l, to: fn.End()}
	var body *ast.BlockStmt
	switch fn := fn.(type) {
	case *ast.FuncLit:
		w.from, body = fn.Pos(), fn.Body
	case *ast.FuncDecl:
		w.from, body = fn.Type.Params.Pos(), fn.Body
		if obj, ok := l.TypesInfo.Defs[fn.Name].(*types.Func); ok {
			if recv := obj.Signature().Recv(); recv != nil && !isKind[*types.Pointer](recv.Type()) {
				w.copied = recv
			}
		}
	}
	for _, find := range w.walk(body) {
		if !l.isIgnored(find.pos, true) {
			at := l.Fset.Position(find.pos)
			flaw = fmt.Sprintf("%s (%s:%d)", find.message, filepath.Base(at.Filename), at.Line)
			break
		}
	}
	return flaw
}
