package flowlint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// appsPath is the package that declares Call.
const appsPath = "asterism/apps"

// New returns the analyzer.
func New() *analysis.Analyzer {
	return &analysis.Analyzer{
		Name:      "flowlint",
		Doc:       "refuses what a replay of a flow cannot repeat (docs/replay.md)",
		Run:       run,
		FactTypes: []analysis.Fact{new(unrepeatable), new(effects)},
	}
}

// unrepeatable is the fact that a function or a package-level variable is not
// fit for flow code.
type unrepeatable struct{ Message string }

// AFact marks a fact.
func (*unrepeatable) AFact() {}

func (u *unrepeatable) String() string { return u.Message }

// effects is the fact that a function runs some of its function parameters in
// Do only, as apps.Do does.
type effects struct{ Params []int }

// AFact marks a fact.
func (*effects) AFact() {}

func (e *effects) String() string { return fmt.Sprint("effects ", e.Params) }

// linter is the analysis of one package.
type linter struct {
	*analysis.Pass
	files    []*ast.File
	nodes    []*node
	of       map[types.Object]*node
	params   map[types.Object][]int // functions by which of their parameters are run in Do only
	effect   map[ast.Node]bool      // function literals and names that are run in Do only
	harmless map[ast.Node]bool      // names that do no harm where they stand, as in slices.Sorted(maps.Keys(m))
	decls    map[types.Object]*ast.FuncDecl
	lits     map[types.Object]*ast.FuncLit // variables that are made with a function literal
	flaws    map[ast.Node]*string          // why a function may not be called in Do, by its declaration or literal
	called   map[*ast.Ident]bool           // verbs that are called where they are named
	set      map[types.Object][]finding    // where package-level variables are set
	ignores  []*ignore
}

// node is a function, a package-level variable or a function literal that
// takes a call.
type node struct {
	name  string
	obj   types.Object // nil for literals
	flow  bool         // takes a Call
	finds []finding
	refs  []types.Object
	// ignored is the comment that excepts the whole function.
	ignored *ignore
}

// finding is something that a replay cannot repeat.
type finding struct {
	pos     token.Pos
	message string
}

func run(pass *analysis.Pass) (any, error) {
	if isStd(pass.Pkg.Path()) || isLibrary(pass.Pkg.Path()) {
		return nil, nil // rules.go says what they do
	}
	l := &linter{
		Pass:     pass,
		of:       make(map[types.Object]*node),
		params:   make(map[types.Object][]int),
		effect:   make(map[ast.Node]bool),
		harmless: make(map[ast.Node]bool),
		decls:    make(map[types.Object]*ast.FuncDecl),
		lits:     make(map[types.Object]*ast.FuncLit),
		flaws:    make(map[ast.Node]*string),
		called:   make(map[*ast.Ident]bool),
		set:      make(map[types.Object][]finding),
	}
	for _, file := range pass.Files {
		if !strings.HasSuffix(pass.Fset.File(file.FileStart).Name(), "_test.go") {
			l.files = append(l.files, file)
			l.collectIgnores(file)
		}
	}
	l.findEffects()
	l.findSet()
	for _, file := range l.files {
		l.collectNodes(file)
	}
	l.export()
	l.report()
	l.reportIgnores()
	return nil, nil
}

// collectNodes looks through the declarations of a file.
func (l *linter) collectNodes(file *ast.File) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			fn, ok := l.TypesInfo.Defs[decl.Name].(*types.Func)
			if !ok || decl.Body == nil {
				continue
			}
			n := &node{name: shortName(fn), obj: fn, flow: takesCall(fn.Signature()), ignored: l.ignoreOf(decl.Doc)}
			l.add(n)
			l.walk(n, decl.Body)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				if value, ok := spec.(*ast.ValueSpec); ok && decl.Tok == token.VAR {
					l.collectVars(value)
				}
			}
		}
	}
}

// collectVars makes package-level variables nodes: reading one in a flow is
// as good as what it was made with.
func (l *linter) collectVars(spec *ast.ValueSpec) {
	for i, name := range spec.Names {
		n := &node{name: name.Name, obj: l.TypesInfo.Defs[name]}
		if n.obj == nil {
			continue // cannot be, the package has no type errors
		}
		l.add(n)
		for j, value := range spec.Values {
			if i == j || len(spec.Values) == 1 { // var a, b = f()
				l.walk(n, value)
			}
		}
		n.finds = append(n.finds, l.set[n.obj]...)
	}
}

func (l *linter) add(n *node) {
	l.nodes = append(l.nodes, n)
	if n.obj != nil && n.name != "_" && n.name != "init" {
		l.of[n.obj] = n
	}
}

// reach visits what start refers to within the package, start first, and says
// by which way.
func (l *linter) reach(start *node, intoFlows bool, visit func(n *node, way []string) (goOn bool)) {
	type step struct {
		n   *node
		way []string
	}
	seen := map[*node]bool{start: true}
	for queue := []step{{start, []string{start.name}}}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at.n.ignored == nil && !visit(at.n, at.way) {
			return
		}
		if at.n.ignored != nil {
			continue
		}
		for _, ref := range at.n.refs {
			next := l.of[ref]
			if next == nil || seen[next] || (next.flow && !intoFlows) {
				continue
			}
			seen[next] = true
			queue = append(queue, step{next, append(slices.Clone(at.way), next.name)})
		}
	}
}

// export tells the packages that import this one what is not fit for flow
// code. Functions that take a call are reported where they are.
func (l *linter) export() {
	for _, n := range l.nodes {
		if n.obj == nil || n.flow || !exportable(n.obj) {
			continue
		}
		l.reach(n, false, func(at *node, _ []string) bool {
			i := slices.IndexFunc(at.finds, func(f finding) bool { return !l.isIgnored(f.pos, false) })
			if i < 0 {
				return true
			}
			find := at.finds[i]
			where := l.Fset.Position(find.pos)
			l.ExportObjectFact(n.obj, &unrepeatable{fmt.Sprintf("%s (%s:%d)",
				find.message, filepath.Base(where.Filename), where.Line)})
			return false
		})
	}
}

// exportable reports whether other packages can name obj, or have it as a
// method of a value.
func exportable(obj types.Object) bool {
	if fn, ok := obj.(*types.Func); ok && fn.Signature().Recv() != nil {
		return true
	}
	return obj.Exported() && obj.Parent() == obj.Pkg().Scope()
}

// report says what is wrong in everything that a flow reaches, once.
func (l *linter) report() {
	done := make(map[token.Pos]bool)
	for _, root := range l.nodes {
		if !root.flow {
			continue
		}
		l.reach(root, true, func(n *node, way []string) bool {
			for _, find := range n.finds {
				if done[find.pos] || l.isIgnored(find.pos, true) {
					continue
				}
				done[find.pos] = true
				message := find.message
				if len(way) > 1 {
					message += " [flow code: " + strings.Join(way, " → ") + "]"
				}
				l.Report(analysis.Diagnostic{Pos: find.pos, Message: message})
			}
			return true
		})
	}
}
