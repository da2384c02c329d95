// Package house tests what the layout promises: which way imports go, and where C is.
package house

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/program"
)

// imports are the imports of a folder's files that are no tests, by file.
func imports(t *testing.T, folder string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(program.Repository(), folder, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, folder)
	all := make(map[string][]string)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, spec := range parsed.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			all[filepath.Base(file)] = append(all[filepath.Base(file)], path)
		}
	}
	return all
}

func TestImportsGoOneWay(t *testing.T) {
	for _, rule := range []struct {
		folder  string
		allowed []string // of ours; everything else below rule_engine is refused
	}{
		{"nats/wire", nil},
		{"nats", []string{"rule_engine/nats/wire"}},
		{"pgext", []string{"rule_engine/nats", "rule_engine/nats/wire"}},
		{"examples/nats-workers/go", []string{"rule_engine/nats/wire"}},
	} {
		for file, paths := range imports(t, rule.folder) {
			for _, path := range paths {
				if path == "rule_engine" || strings.HasPrefix(path, "rule_engine/") {
					require.Contains(t, rule.allowed, path, "%s/%s", rule.folder, file)
				}
			}
		}
	}
}

func TestTheWirePackageNeedsTheStandardLibraryAlone(t *testing.T) {
	for file, paths := range imports(t, "nats/wire") {
		for _, path := range paths {
			require.NotContains(t, strings.SplitN(path, "/", 2)[0], ".", "%s imports %s", file, path)
		}
	}
}

func TestCIsImportedInTwoFilesOnly(t *testing.T) {
	var with []string
	for _, folder := range []string{"nats", "nats/wire", "pgext", "examples/nats-workers/go"} {
		for file, paths := range imports(t, folder) {
			for _, path := range paths {
				if path == "C" {
					with = append(with, folder+"/"+file)
				}
			}
		}
	}
	require.ElementsMatch(t, []string{"pgext/exports.go", "pgext/spi.go"}, with)
}

func TestTheBridgeNeedsNoServerHeader(t *testing.T) {
	header, err := os.ReadFile(filepath.Join(program.Repository(), "c_shim", "bridge.h"))
	require.NoError(t, err)
	for line := range strings.Lines(string(header)) {
		if included, found := strings.CutPrefix(line, "#include "); found {
			require.Contains(t, []string{"<stddef.h>", "<stdint.h>"}, strings.TrimSpace(included))
		}
	}
}
