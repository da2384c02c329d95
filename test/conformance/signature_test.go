package conformance

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"rule_engine/test/endpoint"
	"rule_engine/test/program"
)

// secret gives the webhook one.
func (h hook) secret(name string, value any) (secret string) {
	h.t.Helper()
	ask(h.t, &secret, "SELECT rule_webhook_secret_set($1, $2, $3)", h.id, name, value)
	return secret
}

// publicOf is what a receiver gets of a whsk_ key.
func publicOf(t *testing.T, secret string) string {
	t.Helper()
	seed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsk_"))
	require.NoError(t, err)
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	return "whpk_" + base64.StdEncoding.EncodeToString(public)
}

func (h hook) verifies(secret string, r request) {
	h.t.Helper()
	require.NoError(h.t, endpoint.Verify(secret, r.Header, r.body, r.at))
}

// signedBy publishes events until one is signed so many times: a worker learns of a secret within a second.
func (h hook) signedBy(s *server, n int) request {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		before := len(s.got())
		h.publish(fmt.Sprint("event ", before), aBody)
		h.tries(before + 1)
		last := s.got()[before]
		if len(strings.Fields(last.Header.Get("webhook-signature"))) == n {
			return last
		}
		require.True(h.t, time.Now().Before(deadline), "not signed %d times", n)
	}
}

func TestWhileASecretIsReplacedBothSign(t *testing.T) {
	t.Parallel()
	s := serve(t, says(ok))
	h := aHook(t, s.url)
	before := h.secret("before", nil)
	h.verifies(before, h.signedBy(s, 1))
	after := h.secret("after", nil)
	both := h.signedBy(s, 2)
	h.verifies(before, both)
	h.verifies(after, both)
	pair := h.secret("pair", "whsk_")
	all := h.signedBy(s, 3)
	h.verifies(after, all)
	h.verifies(publicOf(t, pair), all)
	ask(t, nil, "UPDATE rule_webhook_secrets SET expires_at = now() WHERE webhook_id = $1 AND secret_name = 'before'", h.id)
	ask(t, nil, "SELECT rule_webhook_secret_delete($1, 'pair')", h.id)
	last := h.signedBy(s, 1)
	h.verifies(after, last)
	require.Error(t, endpoint.Verify(before, last.Header, last.body, last.at))
	ask(t, nil, "SELECT rule_webhook_secret_delete($1, 'after')", h.id)
	require.NotContains(t, h.signedBy(s, 0).Header, "Webhook-Signature")
}

// A question is a request that a reference library is to judge.
type question struct {
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
	want    bool
}

func TestTheReferenceLibrariesAcceptWhatIsSignedAndNothingElse(t *testing.T) {
	t.Parallel()
	questions := questions(t)
	t.Run("Go", func(t *testing.T) {
		for _, q := range questions {
			reference, err := standardwebhooks.NewWebhook(q.Secret)
			require.NoError(t, err)
			header := http.Header{}
			for name, value := range q.Headers {
				header.Set(name, value)
			}
			require.Equal(t, q.want, reference.Verify(q.Body, header) == nil, "%v", q.Headers)
		}
	})
	libraries := filepath.Join(program.Repository(), "build", "standardwebhooks")
	need := exec.Command(filepath.Join(program.Repository(), "scripts", "need"), "standardwebhooks")
	output, err := need.CombinedOutput()
	require.NoError(t, err, "%s", output)
	file := filepath.Join(t.TempDir(), "questions.json")
	text, err := json.Marshal(questions)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o644))
	node, err := program.Node()
	require.NoError(t, err)
	for language, command := range map[string][]string{"Python": {"python3", "verify.py"}, "JavaScript": {node, "verify.cjs"}} {
		t.Run(language, func(t *testing.T) {
			cmd := exec.Command(command[0], command[1], file)
			cmd.Dir = filepath.Join(program.Repository(), "test", "conformance", "reference")
			cmd.Env = append(os.Environ(), "PYTHONPATH="+libraries, "PYTHONDONTWRITEBYTECODE=1",
				"NODE_PATH="+filepath.Join(libraries, "node_modules"))
			said, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", said)
			answers := strings.Fields(string(said))
			require.Len(t, answers, len(questions), "%s", said)
			for n, q := range questions {
				require.Equal(t, fmt.Sprint(q.want), answers[n], "%v", q.Headers)
			}
		})
	}
}

// questions are requests as a worker sent them, and what somebody made of them.
func questions(t *testing.T) (all []question) {
	s := serve(t, says(ok))
	h := aHook(t, s.url)
	secrets := []string{h.secret("one", nil), h.secret("other", nil)}
	h.secret("pair", "whsk_")
	h.signedBy(s, 3)
	before := len(s.got())
	bodies := []string{`{"n": 9223372036854775808, "e": 1e400}`, "{\"s\": \"\u2028\u00fc\U0001F600\"}", `"text"`}
	ids := []string{"plain-id_1", "a blank / \u00fc", strings.Repeat("x", 200)}
	for n, body := range bodies {
		h.publish(ids[n], body)
		h.tries(before + n + 1)
	}
	for _, r := range s.got()[before:] {
		headers := map[string]string{}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			headers[name] = r.Header.Get(name)
		}
		for _, secret := range secrets {
			all = append(all, question{secret, headers, r.body, true},
				question{secret, headers, append([]byte(" "), r.body...), false})
		}
		all = append(all, question{"whsec_aHVudGVyMmh1bnRlcjJodW50ZXIy", headers, r.body, false})
	}
	return all
}
