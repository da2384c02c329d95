package examples

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"rule_engine/test/page"
	"rule_engine/test/program"
	"rule_engine/test/system"
	"rule_engine/test/worker"
)

const delivery = "docs/delivery.md"

// A receiver runs what docs/delivery.md shows in a language. Each program reads a JSON file of
// questions and prints an answer for each as a line.
type receiver struct {
	language          string
	verify, publicKey func(t *testing.T, questions string) []string
}

// snippets are a language's two blocks: what verifies, and what makes a public key.
func snippets(t *testing.T, language string) (verify, publicKey string) {
	t.Helper()
	blocks, err := page.Blocks(delivery, language)
	require.NoError(t, err)
	require.Len(t, blocks, 2)
	require.Equal(t, "Verifying", blocks[0].Heading)
	return blocks[0].Code, blocks[1].Code
}

// files writes files and answers their folder.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range contents {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return folder
}

func answers(t *testing.T, folder, name string, args ...string) []string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = folder
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	return strings.Fields(string(said))
}

func goReceiver(t *testing.T) receiver {
	verify, publicKey := snippets(t, "go")
	run := func(main string) func(*testing.T, string) []string {
		return func(t *testing.T, questions string) []string {
			folder := files(t, map[string]string{
				"go.mod": "module receiver\n\ngo 1.24\n", "webhook/verify.go": verify, "publickey/of.go": publicKey,
				"main.go": main, "questions.json": questions})
			return answers(t, folder, filepath.Join(program.Repository(), "scripts", "go"), "run", ".")
		}
	}
	return receiver{"go", run(`package main

import ("encoding/json"; "fmt"; "net/http"; "os"; "receiver/webhook")

func main() {
	text, _ := os.ReadFile("questions.json")
	var questions []struct { Keys []string; Headers map[string]string; Body []byte }
	if err := json.Unmarshal(text, &questions); err != nil { panic(err) }
	for _, q := range questions {
		header := http.Header{}
		for name, value := range q.Headers { header.Set(name, value) }
		fmt.Println(webhook.Verify(q.Keys, header, q.Body) == nil)
	}
}
`), run(`package main

import ("encoding/json"; "fmt"; "os"; "receiver/publickey")

func main() {
	text, _ := os.ReadFile("questions.json")
	var secrets []string
	if err := json.Unmarshal(text, &secrets); err != nil { panic(err) }
	for _, s := range secrets {
		key, err := publickey.Of(s)
		if err != nil { panic(err) }
		fmt.Println(key)
	}
}
`)}
}

func nodeReceiver(t *testing.T) receiver {
	verify, publicKey := snippets(t, "js")
	run := func(code, main string) func(*testing.T, string) []string {
		return func(t *testing.T, questions string) []string {
			folder := files(t, map[string]string{"main.cjs": code + main, "questions.json": questions})
			return answers(t, folder, "node", "main.cjs")
		}
	}
	return receiver{"js", run(verify, `
for (const q of require('./questions.json')) console.log(verify(q.Keys, q.Headers, Buffer.from(q.Body, 'base64')))
`), run(publicKey, `
for (const s of require('./questions.json')) console.log(publicKey(s))
`)}
}

// python is one that has the package cryptography; scripts/need sees to it.
func python(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import cryptography").Run() == nil {
			return name
		}
	}
	t.Fatal("no Python with the package cryptography: scripts/need python installs it")
	return ""
}

func pythonReceiver(t *testing.T) receiver {
	verify, publicKey := snippets(t, "python")
	run := func(code, main string) func(*testing.T, string) []string {
		return func(t *testing.T, questions string) []string {
			folder := files(t, map[string]string{"main.py": code + main, "questions.json": questions})
			return answers(t, folder, python(t), "main.py")
		}
	}
	return receiver{"python", run(verify, `
import json
for q in json.load(open("questions.json")):
    print(str(verify(q["Keys"], q["Headers"], base64.b64decode(q["Body"]))).lower())
`), run(publicKey, `
import json
for s in json.load(open("questions.json")):
    print(public_key(s))
`)}
}

// question is a request as a receiver has it.
type question struct {
	Keys    []string
	Headers map[string]string
	Body    []byte
}

func text(t *testing.T, questions any) string {
	t.Helper()
	encoded, err := json.Marshal(questions)
	require.NoError(t, err)
	return string(encoded)
}

func TestWhatThePageShowsVerifiesWhatTheWorkerSends(t *testing.T) {
	t.Parallel()
	s := system.Run(t)
	admin := s.Postgres.Connect(t, system.Database, system.Administrator)
	id, err := s.Register(t.Context(), admin, "orders", "queue")
	require.NoError(t, err)
	secret := func(name string, value any) (made string) {
		t.Helper()
		require.NoError(t, admin.QueryRow(t.Context(), "SELECT rule_webhook_secret_set($1, $2, $3)", id, name, value).Scan(&made))
		return made
	}
	// Each but the first signs: it is replaced.
	other, shared, private := secret("signing", nil), secret("signing", nil), secret("pair", "whsk_")
	_, err = admin.Exec(t.Context(), `SELECT rule_webhook_call_unified($1, '{"n": 1.10, "s": "\u00fc"}', 'a message: 1')`, id)
	require.NoError(t, err)
	worker.Run(t, s.WorkerEnv()...)
	r := s.Endpoint.Wait(t, 1, patience)[0]

	// A 64-byte key is the seed with the public key behind it.
	golden := goldenKeys(t)
	secrets := append([]string{private}, golden.secrets...)
	var keys []string
	for _, of := range []func(*testing.T) receiver{goReceiver, nodeReceiver, pythonReceiver} {
		receiver := of(t)
		got := receiver.publicKey(t, text(t, secrets))
		require.Equal(t, golden.public, got[1:], receiver.language)
		keys = append(keys, got[0])
	}
	require.Equal(t, keys[0], keys[1])
	require.Equal(t, keys[0], keys[2])

	headers := map[string]string{}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		headers[name] = r.Header.Get(name)
	}
	require.Len(t, strings.Fields(headers["webhook-signature"]), 2)
	with := func(name, value string) map[string]string {
		changed := map[string]string{name: value}
		for n, v := range headers {
			if n != name {
				changed[n] = v
			}
		}
		return changed
	}
	sent, err := strconv.ParseInt(headers["webhook-timestamp"], 10, 64)
	require.NoError(t, err)
	cases := []struct {
		question
		want string
	}{
		// Signed well, and long ago.
		{golden.old, "false"},
		{question{[]string{shared}, headers, r.Body}, "true"},
		{question{[]string{keys[0]}, headers, r.Body}, "true"},
		{question{[]string{other, keys[0]}, headers, r.Body}, "true"},
		{question{[]string{other}, headers, r.Body}, "false"},
		{question{[]string{golden.public[0]}, headers, r.Body}, "false"},
		{question{[]string{}, headers, r.Body}, "false"},
		{question{[]string{shared, keys[0]}, headers, append([]byte(" "), r.Body...)}, "false"},
		{question{[]string{shared, keys[0]}, with("webhook-id", "b64_"), r.Body}, "false"},
		{question{[]string{shared, keys[0]}, with("webhook-timestamp", strconv.FormatInt(sent+1, 10)), r.Body}, "false"},
		{question{[]string{shared, keys[0]}, with("webhook-timestamp", ""), r.Body}, "false"},
		{question{[]string{shared, keys[0]}, with("webhook-timestamp", strings.Repeat("9", 5000)), r.Body}, "false"},
		{question{[]string{shared, keys[0]}, with("webhook-id", "\ufffd"), r.Body}, "false"},
		{question{[]string{shared, keys[0]}, with("webhook-signature", ""), r.Body}, "false"},
		{question{[]string{shared, keys[0]}, with("webhook-signature", "v1,\u00e9 v1a,\u00e9"), r.Body}, "false"},
		{question{[]string{shared, keys[0]}, with("webhook-signature", "v1 v1, v1a,= v2,AAAA"), r.Body}, "false"},
	}

	var questions []question
	var want []string
	for _, c := range cases {
		questions, want = append(questions, c.question), append(want, c.want)
	}
	for _, of := range []func(*testing.T) receiver{goReceiver, nodeReceiver, pythonReceiver} {
		receiver := of(t)
		require.Equal(t, want, receiver.verify(t, text(t, questions)), receiver.language)
	}
}

type goldenFile struct {
	secrets, public []string
	old             question
}

// goldenKeys are the key pairs of the golden file, and a request of it that was signed in 2023.
func goldenKeys(t *testing.T) (g goldenFile) {
	t.Helper()
	encoded, err := os.ReadFile(filepath.Join(program.Repository(), "test/golden/signatures.json"))
	require.NoError(t, err)
	var file struct {
		Signatures []struct {
			Body    string
			Secrets []string
			Headers map[string]string
		}
		PublicKeys []struct {
			Secret    string
			PublicKey string `json:"public_key"`
		} `json:"public_keys"`
	}
	require.NoError(t, json.Unmarshal(encoded, &file))
	for _, pair := range file.PublicKeys {
		g.secrets, g.public = append(g.secrets, pair.Secret), append(g.public, pair.PublicKey)
	}
	for _, s := range file.Signatures {
		if s.Headers["webhook-timestamp"] == "1700000000" && len(s.Secrets) == 1 && strings.HasPrefix(s.Secrets[0], "whsec_") {
			g.old = question{s.Secrets, s.Headers, []byte(s.Body)}
		}
	}
	require.NotEmpty(t, g.old.Keys)
	require.NotEmpty(t, g.public)
	return g
}
