package settings

import (
	"os"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

const secret = "s3cr3t-w0rd"

func TestAToken(t *testing.T) {
	b := setup(t, func(o *server.Options) { o.Authorization = secret })
	b.refused(t, "configuration", "auth_type is 'none'")
	b.set(t, "auth_type = 'token', auth_token = $1", secret)
	b.works(t)
	b.set(t, "auth_token = $1", secret+"-wrong")
	b.refused(t, "configuration", "auth_token", secret)
}

func TestAUserAndAPassword(t *testing.T) {
	b := setup(t, func(o *server.Options) { o.Username, o.Password = "events", secret })
	b.set(t, "auth_type = 'userpass', auth_user = 'events', auth_password = $1", secret)
	b.works(t)
	b.set(t, "auth_password = $1", secret+"-wrong")
	b.refused(t, "configuration", "auth_user and auth_password", secret)
}

func TestAUserInTheURL(t *testing.T) {
	b := setup(t, func(o *server.Options) { o.Username, o.Password = "events", secret })
	url := b.nats.URL()[len("nats://"):]
	b.set(t, "nats_url = $1", "nats://events:"+secret+"@"+url)
	b.works(t)
	b.set(t, "nats_url = $1", "nats://events:"+secret+"wrong@"+url)
	b.refused(t, "configuration", "authorization violation", secret)
}

func TestAnNKey(t *testing.T) {
	key, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := key.PublicKey()
	require.NoError(t, err)
	seed, err := key.Seed()
	require.NoError(t, err)
	b := setup(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} })
	b.set(t, "auth_type = 'nkey', auth_nkey_seed = $1", string(seed))
	b.works(t)

	other, err := nkeys.CreateUser()
	require.NoError(t, err)
	seed, err = other.Seed()
	require.NoError(t, err)
	b.set(t, "auth_nkey_seed = $1", string(seed))
	b.refused(t, "configuration", "auth_nkey_seed", string(seed))
	b.set(t, "auth_nkey_seed = $1", secret)
	b.refused(t, "configuration", "auth_nkey_seed", secret)
}

// operator is a server that trusts the JWTs of an operator, with one account.
type operator struct {
	account nkeys.KeyPair
	options func(*server.Options)
}

func newOperator(t *testing.T) operator {
	t.Helper()
	top, err := nkeys.CreateOperator()
	require.NoError(t, err)
	account, err := nkeys.CreateAccount()
	require.NoError(t, err)
	topKey, err := top.PublicKey()
	require.NoError(t, err)
	accountKey, err := account.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewAccountClaims(accountKey)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	encoded, err := claims.Encode(top)
	require.NoError(t, err)
	resolver := &server.MemAccResolver{}
	require.NoError(t, resolver.Store(accountKey, encoded))
	// JetStream needs a system account beside it.
	system, err := nkeys.CreateAccount()
	require.NoError(t, err)
	systemKey, err := system.PublicKey()
	require.NoError(t, err)
	systemClaims, err := jwt.NewAccountClaims(systemKey).Encode(top)
	require.NoError(t, err)
	require.NoError(t, resolver.Store(systemKey, systemClaims))
	return operator{account, func(o *server.Options) {
		o.TrustedKeys = []string{topKey}
		o.AccountResolver = resolver
		o.SystemAccount = systemKey
	}}
}

// credentials are a user's, valid for a time; it answers them and the seed in them.
func (o operator) credentials(t *testing.T, valid time.Duration) ([]byte, string) {
	t.Helper()
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	claims := jwt.NewUserClaims(public)
	claims.Expires = time.Now().Add(valid).Unix()
	encoded, err := claims.Encode(o.account)
	require.NoError(t, err)
	held, err := jwt.FormatUserConfig(encoded, seed)
	require.NoError(t, err)
	return held, string(seed)
}

func TestACredentialsFile(t *testing.T) {
	o := newOperator(t)
	b := setup(t, o.options)
	held, seed := o.credentials(t, time.Hour)
	path := file(t, "user.creds", held)
	b.set(t, "auth_type = 'credentials', auth_credentials_file = $1", path)
	b.works(t)

	expired, seed2 := o.credentials(t, -time.Hour)
	b.set(t, "auth_credentials_file = $1", file(t, "expired.creds", expired))
	b.refused(t, "configuration", "expired.creds", seed2)

	stranger := newOperator(t)
	unknown, seed3 := stranger.credentials(t, time.Hour)
	b.set(t, "auth_credentials_file = $1", file(t, "stranger.creds", unknown))
	b.refused(t, "configuration", "auth_credentials_file", seed3)

	b.set(t, "auth_credentials_file = '/nowhere/user.creds'")
	b.refused(t, "configuration", "auth_credentials_file: open /nowhere/user.creds: no such file")
	b.set(t, "auth_credentials_file = $1", file(t, "nonsense.creds", []byte(seed)))
	b.refused(t, "configuration", "auth_credentials_file: no user JWT", seed)
	b.set(t, "auth_credentials_file = NULL")
	b.refused(t, "configuration", "auth_credentials_file is not set")
}

func TestCredentialsThatExpireInASessionAreReadAgain(t *testing.T) {
	o := newOperator(t)
	b := setup(t, o.options)
	held, _ := o.credentials(t, 10*time.Second)
	path := file(t, "user.creds", held)
	b.set(t, "auth_type = 'credentials', auth_credentials_file = $1, reconnect_delay_ms = 100", path)
	// A publish that is on its way when they expire waits so long for another connection.
	b.set(t, "publish_timeout_ms = 8000")
	b.works(t)
	var answer map[string]any
	require.Eventually(t, func() bool {
		answer = b.publish(t)
		return answer["success"] == false && answer["error_code"] == "configuration"
	}, patience, 50*time.Millisecond, "the last answer: %v", answer)
	require.Contains(t, answer["error"], "auth_credentials_file")

	held, _ = o.credentials(t, time.Hour)
	require.NoError(t, os.WriteFile(path, held, 0o644))
	require.Eventually(t, func() bool { return b.publish(t)["success"] == true }, patience, 50*time.Millisecond)
}
