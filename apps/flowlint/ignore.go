package flowlint

import (
	"go/ast"
	"go/token"
	"strings"
)

const directive = "//flowlint:ignore"

// ignore is one //flowlint:ignore comment.
type ignore struct {
	pos    token.Pos
	file   string
	line   int
	reason string
	used   bool
}

func (l *linter) collectIgnores(file *ast.File) {
	for _, group := range file.Comments {
		for _, comment := range group.List {
			rest, ok := strings.CutPrefix(comment.Text, directive)
			if !ok || (rest != "" && rest[0] != ' ' && rest[0] != '\t') {
				continue
			}
			at := l.Fset.Position(comment.Pos())
			reason, _, _ := strings.Cut(rest, "//") // a comment in the comment is no reason
			l.ignores = append(l.ignores, &ignore{
				pos: comment.Pos(), file: at.Filename, line: at.Line, reason: strings.TrimSpace(reason),
			})
		}
	}
}

// ignoreOf is the exception in the doc comment of a function.
func (l *linter) ignoreOf(doc *ast.CommentGroup) *ignore {
	if doc == nil {
		return nil
	}
	for _, ig := range l.ignores {
		if doc.Pos() <= ig.pos && ig.pos < doc.End() && ig.reason != "" {
			return ig
		}
	}
	return nil
}

// isIgnored reports whether a comment on the line of pos, or on the line above
// it, excepts it.
func (l *linter) isIgnored(pos token.Pos, reported bool) bool {
	at := l.Fset.Position(pos)
	for _, ig := range l.ignores {
		if ig.file == at.Filename && (ig.line == at.Line || ig.line == at.Line-1) && ig.reason != "" {
			ig.used = ig.used || reported
			return true
		}
	}
	return false
}

// reportIgnores refuses exceptions without a reason, and those that except
// nothing (any more).
func (l *linter) reportIgnores() {
	for _, n := range l.nodes {
		for _, find := range n.finds {
			l.isIgnored(find.pos, true) // also where no flow of this package comes
		}
		if n.ignored != nil && l.unfit(n) {
			n.ignored.used = true
		}
	}
	for _, ig := range l.ignores {
		switch {
		case ig.reason == "":
			l.Reportf(ig.pos, "%s gives no reason: write down why a replay does no harm here", directive)
		case !ig.used:
			l.Reportf(ig.pos, "%s excepts nothing: remove it", directive)
		}
	}
}

// unfit reports whether n would be refused without its exception.
func (l *linter) unfit(n *node) bool {
	saved := n.ignored
	n.ignored = nil
	defer func() { n.ignored = saved }()
	unfit := false
	l.reach(n, true, func(at *node, _ []string) bool {
		unfit = len(at.finds) > 0
		return !unfit
	})
	return unfit
}
