package hazards

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

// What must not stand in Go that runs in a backend: whatever ends the process, takes its signals,
// or starts a goroutine that is not seen to recover.
var forbidden = map[string]string{
	"os.Exit": "ends the backend", "log.Fatal": "ends the backend", "log.Fatalf": "ends the backend",
	"log.Fatalln": "ends the backend", "runtime.Goexit": "ends the backend where it leaves an entry",
	"syscall.Kill": "signals", "os.Getenv": "answers nothing in a backend",
}

func TestNoGoroutineRunsWithoutRecoverAndNothingEndsTheProcess(t *testing.T) {
	for _, folder := range []string{"pgext", "nats", "nats/wire"} {
		var files []string
		all, err := filepath.Glob(filepath.Join(program.Repository(), folder, "*.go"))
		require.NoError(t, err)
		for _, file := range all {
			if !strings.HasSuffix(file, "_test.go") {
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				files = append(files, string(text))
			}
		}
		require.NotEmpty(t, files, folder)
		require.Empty(t, faults(t, files...), folder)
	}
	t.Run("the check finds", func(t *testing.T) {
		for want, source := range map[string]string{
			"os/signal":            "import \"os/signal\"",
			"os.Exit ends":         "func f() { os.Exit(1) }",
			"log.Fatalf ends":      "func f() { log.Fatalf(\"\") }",
			"go without recover":   "func f() { go func() { g() }() }",
			"go without recover ":  "func f() { go g() }\nfunc g() { h() }",
			"go without recover  ": "func f() { go g() }\nfunc g() { if x() { recover() } }",
			"time.AfterFunc is":    "func f() { time.AfterFunc(d, func() { g() }) }",
			"context.AfterFunc is": "func f() { context.AfterFunc(c, g) }",
			"WaitGroup.Go":         "func f() { var w sync.WaitGroup; w.Go(g) }",
			"entry e":              "//export e\nfunc e() { g() }",
		} {
			require.Contains(t, fmt.Sprint(faults(t, "package p\n"+source)), strings.TrimSpace(want), source)
		}
		require.Empty(t, faults(t, `package p
			func f() { go func() { defer func() { _ = recover() }(); h() }(); go g(h) }
			func t() { time.AfterFunc(d, func() { g(h) }) }
			func g(f func()) { if err := k(f); err != nil { h() } }
			func k(f func()) { defer func() { if p := recover(); p != nil { h() } }(); f() }
			//export e
			func e() int { return k(h) }`))
	})
}

// os/signal would give Postgres' signals to Go even where only a library imports it.
func TestNothingThatIsLinkedHandlesSignals(t *testing.T) {
	list := exec.Command(goTool(), "list", "-deps", "./pgext")
	list.Dir = program.Repository()
	packages, err := list.Output()
	require.NoError(t, err)
	require.Contains(t, string(packages), "\nos\n")
	require.NotContains(t, string(packages), "\nos/signal\n")
}

// functionsByName are a package's functions, and its methods with a dot before the name. Several types
// may have a method of one name, and then all must be right.
type functionsByName map[string][]*ast.FuncDecl

// faults lists what is wrong in the files of a package.
func faults(t *testing.T, sources ...string) (list []string) {
	t.Helper()
	functions := functionsByName{}
	var files []*ast.File
	for _, source := range sources {
		file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				key := f.Name.Name
				if f.Recv != nil {
					key = "." + key
				}
				functions[key] = append(functions[key], f)
			}
		}
	}
	report := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	for _, file := range files {
		for _, i := range file.Imports {
			if i.Path.Value == `"os/signal"` {
				report("os/signal is imported")
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Doc != nil && strings.Contains(commentsOf(n.Doc), "//export ") && !recovers(n.Body, functions) {
					report("entry %s does not recover", n.Name.Name)
				}
			case *ast.GoStmt:
				if !calleeRecovers(n.Call, functions) {
					report("go without recover: %s", name(n.Call.Fun))
				}
			case *ast.CallExpr:
				called := name(n.Fun)
				if why, found := forbidden[called]; found {
					report("%s %s", called, why)
				}
				if strings.HasSuffix(called, ".AfterFunc") && !isLiteralThatRecovers(n.Args[len(n.Args)-1], functions) {
					report("%s is a goroutine without recover", called)
				}
				if strings.HasSuffix(called, ".Go") {
					report("%s, as WaitGroup.Go, is a goroutine without recover", called)
				}
			}
			return true
		})
	}
	return list
}

func commentsOf(group *ast.CommentGroup) string {
	var text strings.Builder
	for _, c := range group.List {
		text.WriteString(c.Text + "\n")
	}
	return text.String()
}

func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return name(e.X) + "." + e.Sel.Name
	}
	return fmt.Sprintf("%T", e)
}

// isLiteralThatRecovers is true of a function literal that recovers.
func isLiteralThatRecovers(e ast.Expr, functions functionsByName) bool {
	literal, ok := e.(*ast.FuncLit)
	return ok && recovers(literal.Body, functions)
}

// calleeRecovers is true of a function literal, or of a function of the package, that recovers.
func calleeRecovers(call *ast.CallExpr, functions functionsByName) bool {
	if literal, ok := call.Fun.(*ast.FuncLit); ok {
		return recovers(literal.Body, functions)
	}
	called := name(call.Fun)
	same := functions[called[max(strings.LastIndexByte(called, '.'), 0):]]
	return len(same) > 0 && !slices.ContainsFunc(same, func(f *ast.FuncDecl) bool { return !recovers(f.Body, functions) })
}

// recovers is true of a body that begins with deferring a recover, or with the call of a function
// of which it is true.
func recovers(body *ast.BlockStmt, functions functionsByName) bool {
	if body == nil || len(body.List) == 0 {
		return false
	}
	var first ast.Node = body.List[0]
	switch s := first.(type) {
	case *ast.DeferStmt:
		literal, ok := s.Call.Fun.(*ast.FuncLit)
		return ok && callsRecover(literal.Body)
	case *ast.IfStmt:
		first = s.Init
	}
	var calls []ast.Expr
	switch s := first.(type) {
	case *ast.ReturnStmt:
		calls = s.Results
	case *ast.ExprStmt:
		calls = []ast.Expr{s.X}
	case *ast.AssignStmt:
		calls = s.Rhs
	}
	if len(calls) != 1 {
		return false
	}
	call, ok := calls[0].(*ast.CallExpr)
	return ok && calleeRecovers(call, functions)
}

func callsRecover(body *ast.BlockStmt) (found bool) {
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && name(call.Fun) == "recover" {
			found = true
		}
		return !found
	})
	return found
}
