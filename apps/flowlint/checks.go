package flowlint

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// checkDropped refuses to throw away the error of a verb, or of a function
// that takes a call: a loop around it would never end.
func (l *linter) checkDropped(n *node, expr ast.Expr) {
	call, ok := ast.Unparen(expr).(*ast.CallExpr)
	if !ok {
		return
	}
	fn, ok := typeutil.Callee(l.TypesInfo, call).(*types.Func)
	if !ok || (!isVerb(fn) && !takesCall(fn.Signature())) {
		return
	}
	results := fn.Signature().Results()
	if results.Len() == 0 || !types.Identical(results.At(results.Len()-1).Type(), types.Universe.Lookup("error").Type()) {
		return
	}
	n.find(call.Pos(), fmt.Sprintf("the error of %s is thrown away, and without it the flow goes on when the caller is gone or another worker has the call: look at it, and return it", fn.Name()))
}

// address finds %p in a format.
var address = regexp.MustCompile(`%[-+# 0-9.*\[\]]*p`)

// checkConstants refuses calls that only their arguments make unfit.
func (l *linter) checkConstants(n *node, call *ast.CallExpr, fn *types.Func) {
	if fn == nil || fn.Pkg() == nil {
		return
	}
	for _, arg := range call.Args {
		value, text := l.TypesInfo.Types[arg], ""
		if value.Value != nil && value.Value.Kind() == constant.String {
			text = constant.StringVal(value.Value)
		}
		switch {
		case qualified(fn) == "time.LoadLocation" && text == "Local":
			n.find(arg.Pos(), "time.LoadLocation(\"Local\") "+local+": name the zone")
		case fn.Pkg().Path() == "fmt" && address.MatchString(strings.ReplaceAll(text, "%%", "")):
			n.find(arg.Pos(), "%p writes where something is in memory, and that is elsewhere when the flow is replayed: write what it is")
		case fn.Pkg().Path() == "fmt" && strings.Contains(fn.Name(), "rint") && isAddress(value.Type):
			n.find(arg.Pos(), fmt.Sprintf("fmt.%s writes where this is in memory, and that is elsewhere when the flow is replayed: write what it is", fn.Name()))
		}
	}
}

// isAddress reports whether a value of type t is printed as an address.
func isAddress(t types.Type) bool {
	if t == nil {
		return false
	}
	methods := types.NewMethodSet(t)
	for _, name := range []string{"Error", "String", "Format", "GoString"} {
		if methods.Lookup(nil, name) != nil {
			return false
		}
	}
	switch t := t.Underlying().(type) {
	case *types.Chan, *types.Signature:
		return true
	case *types.Pointer:
		switch t.Elem().Underlying().(type) {
		case *types.Basic, *types.Pointer, *types.Chan, *types.Signature:
			return true
		}
	}
	return false
}

// findSet finds where functions set the variables of the package: a flow that
// reads one does not find the same value when it is replayed. What init sets is
// the same for the whole life of a worker.
func (l *linter) findSet() {
	for _, file := range l.files {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if ok && fn.Body != nil && (fn.Recv != nil || fn.Name.Name != "init") {
				ast.Inspect(fn.Body, func(at ast.Node) bool {
					l.noteSet(at)
					return true
				})
			}
		}
	}
}

func (l *linter) noteSet(at ast.Node) {
	note := func(pos token.Pos, expr ast.Expr) {
		if v := l.packageVar(expr); v != nil && v.Pkg() == l.Pkg {
			l.set[v] = append(l.set[v], finding{pos, sharedMessage(v.Name() + " is set, which a flow reads")})
		}
	}
	switch at := at.(type) {
	case *ast.AssignStmt:
		for _, left := range at.Lhs {
			note(left.Pos(), left)
		}
	case *ast.IncDecStmt:
		note(at.X.Pos(), at.X)
	case *ast.RangeStmt:
		for _, left := range []ast.Expr{at.Key, at.Value} {
			if left != nil && at.Tok == token.ASSIGN {
				note(left.Pos(), left)
			}
		}
	case *ast.UnaryExpr:
		if at.Op == token.AND {
			note(at.Pos(), at.X)
		}
	case *ast.CallExpr:
		if id, ok := ast.Unparen(at.Fun).(*ast.Ident); ok {
			if builtin, ok := l.TypesInfo.Uses[id].(*types.Builtin); ok && slices.Contains([]string{"delete", "clear", "copy"}, builtin.Name()) {
				note(at.Args[0].Pos(), at.Args[0])
			}
			return
		}
		l.noteMethod(at, note)
	}
}

// noteMethod notes v.Method(), which takes the address of v.
func (l *linter) noteMethod(call *ast.CallExpr, note func(token.Pos, ast.Expr)) {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	fn, ok := typeutil.Callee(l.TypesInfo, call).(*types.Func)
	if !ok || fn.Signature().Recv() == nil || !isKind[*types.Pointer](fn.Signature().Recv().Type()) || slices.Contains(readers, fn.Name()) {
		return
	}
	if !isKind[*types.Pointer](l.TypesInfo.TypeOf(sel.X)) {
		note(sel.Pos(), sel.X)
	}
}
