package flowlint

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/types/typeutil"
)

// findEffects marks the functions that are run in Do only: literals and names
// that stand as an argument of Do, literals that a variable carries there, and
// the parameters of helpers that carry them there.
func (l *linter) findEffects() {
	uses := l.usesOfFuncs()
	for changed := true; changed; {
		changed = false
		for _, file := range l.files {
			ast.Inspect(file, func(at ast.Node) bool {
				if call, ok := at.(*ast.CallExpr); ok && l.markArgs(call) {
					changed = true
				}
				return true
			})
		}
		for _, u := range uses {
			if u.lit != nil && !l.effect[u.lit] && l.onlyInEffects(u.ids) {
				l.effect[u.lit], changed = true, true
			}
			if u.fn != nil && !slices.Contains(l.params[u.fn], u.param) && l.onlyInEffects(u.ids) {
				l.params[u.fn], changed = append(l.params[u.fn], u.param), true
			}
		}
	}
	for fn, params := range l.params {
		if exportable(fn) {
			slices.Sort(params)
			l.ExportObjectFact(fn, &effects{params})
		}
	}
}

// funcUses is where a variable of function type is used: a parameter of fn, or
// one that was made with a literal.
type funcUses struct {
	fn    *types.Func
	param int
	lit   *ast.FuncLit
	ids   []*ast.Ident
}

func (l *linter) usesOfFuncs() map[types.Object]*funcUses {
	uses := make(map[types.Object]*funcUses)
	for _, file := range l.files {
		ast.Inspect(file, func(at ast.Node) bool {
			switch at := at.(type) {
			case *ast.FuncDecl:
				fn, ok := l.TypesInfo.Defs[at.Name].(*types.Func)
				if !ok {
					return true
				}
				l.decls[fn] = at
				for i := range fn.Signature().Params().Len() {
					if v := fn.Signature().Params().At(i); isKind[*types.Signature](v.Type()) {
						uses[v] = &funcUses{fn: fn, param: i}
					}
				}
			case *ast.AssignStmt:
				if at.Tok != token.DEFINE || len(at.Lhs) != len(at.Rhs) {
					return true
				}
				for i, left := range at.Lhs {
					lit, ok := ast.Unparen(at.Rhs[i]).(*ast.FuncLit)
					id, isIdent := left.(*ast.Ident)
					if ok && isIdent && l.TypesInfo.Defs[id] != nil {
						uses[l.TypesInfo.Defs[id]] = &funcUses{lit: lit}
						l.lits[l.TypesInfo.Defs[id]] = lit
					}
				}
			}
			return true
		})
	}
	for id, obj := range l.TypesInfo.Uses {
		if u := uses[obj]; u != nil {
			u.ids = append(u.ids, id)
		}
	}
	return uses
}

// onlyInEffects reports whether all of the names stand where Do runs them.
func (l *linter) onlyInEffects(ids []*ast.Ident) bool {
	for _, id := range ids {
		inside := l.effect[id]
		for effect := range l.effect {
			inside = inside || (effect.Pos() <= id.Pos() && id.End() <= effect.End())
		}
		if !inside {
			return false
		}
	}
	return len(ids) > 0
}

// markArgs marks the arguments of call that are run in Do, and reports whether
// one is new.
func (l *linter) markArgs(call *ast.CallExpr) bool {
	fn, ok := typeutil.Callee(l.TypesInfo, call).(*types.Func)
	if !ok {
		return false
	}
	marked := false
	for i, arg := range call.Args {
		arg = ast.Unparen(arg)
		if isKind[*types.Signature](l.TypesInfo.TypeOf(arg)) && l.runsInDo(fn.Origin(), i) && !l.effect[arg] {
			if _, made := arg.(*ast.CallExpr); !made { // what makes the function runs in the flow
				l.effect[arg], marked = true, true
			}
		}
	}
	return marked
}

// runsInDo reports whether fn runs its parameter i in Do only.
func (l *linter) runsInDo(fn *types.Func, i int) bool {
	if isDo(fn) || slices.Contains(l.params[fn], i) {
		return true
	}
	var fact effects
	return fn.Pkg() != nil && fn.Pkg() != l.Pkg && l.ImportObjectFact(fn, &fact) && slices.Contains(fact.Params, i)
}

// isDo reports whether fn is Call.Do or apps.Do.
func isDo(fn *types.Func) bool {
	if fn.Name() != "Do" || fn.Pkg() == nil || fn.Pkg().Path() != appsPath {
		return false
	}
	recv := fn.Signature().Recv()
	return recv == nil || isApps(recv.Type(), "Call")
}
