package endpoint

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The example of the Standard Webhooks specification's reference libraries.
const (
	exampleSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	exampleID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	exampleTimestamp = 1614265330
	exampleBody      = `{"test": 2432232314}`
	exampleSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func exampleHeader() http.Header {
	header := http.Header{}
	header.Set("webhook-id", exampleID)
	header.Set("webhook-timestamp", "1614265330")
	header.Set("webhook-signature", exampleSignature)
	return header
}

func TestTheSpecificationsExampleVerifies(t *testing.T) {
	at := time.Unix(exampleTimestamp, 0)
	require.NoError(t, Verify(exampleSecret, exampleHeader(), []byte(exampleBody), at))

	require.ErrorIs(t, Verify(exampleSecret, exampleHeader(), []byte(exampleBody+" "), at), errMismatch)
	require.ErrorIs(t, Verify("whsec_AAAA", exampleHeader(), []byte(exampleBody), at), errMismatch)
	require.ErrorIs(t, Verify(exampleSecret, exampleHeader(), []byte(exampleBody), at.Add(time.Hour)), errStale)
	require.ErrorIs(t, Verify(exampleSecret, http.Header{}, []byte(exampleBody), at), errUnsigned)

	several := exampleHeader()
	several.Set("webhook-signature", "v1,AAAA v2,AAAA "+exampleSignature)
	require.NoError(t, Verify(exampleSecret, several, []byte(exampleBody), at))
}

func TestAnAsymmetricSignatureVerifiesWithThePublicKeyAlone(t *testing.T) {
	at := time.Unix(exampleTimestamp, 0)
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	key := "whpk_" + base64.StdEncoding.EncodeToString(public)
	signature := ed25519.Sign(private, []byte(exampleID+".1614265330."+exampleBody))
	header := exampleHeader()
	header.Set("webhook-signature", exampleSignature+" v1a,"+base64.StdEncoding.EncodeToString(signature))
	require.NoError(t, Verify(key, header, []byte(exampleBody), at))
	require.NoError(t, Verify(exampleSecret, header, []byte(exampleBody), at))

	require.ErrorIs(t, Verify(key, header, []byte(exampleBody+" "), at), errMismatch)
	require.ErrorIs(t, Verify(key, exampleHeader(), []byte(exampleBody), at), errMismatch, "a v1 entry is no v1a entry")
}

const patience = 30 * time.Second

func post(ctx context.Context, t *testing.T, e *Endpoint) (int, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL()+"/hook", strings.NewReader("{}"))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func TestAnEndpointAnswersByItsScriptAndKeepsWhatArrived(t *testing.T) {
	e := Run(t)
	e.Script(Answer{Status: 503}, Answer{Hang: true}, Answer{Status: 204})

	status, err := post(t.Context(), t, e)
	require.NoError(t, err)
	require.Equal(t, 503, status)
	soon, giveUp := context.WithCancel(t.Context())
	go func() {
		e.Await(2, patience)
		time.Sleep(50 * time.Millisecond)
		giveUp()
	}()
	_, err = post(soon, t, e)
	require.ErrorIs(t, err, context.Canceled, "the second request hangs")
	for range 2 {
		status, err = post(t.Context(), t, e)
		require.NoError(t, err)
		require.Equal(t, 204, status, "the last answer stays")
	}

	requests := e.Wait(t, 4, patience)
	require.Equal(t, "/hook", requests[0].Path)
	require.Equal(t, []byte("{}"), requests[0].Body)
	require.ErrorIs(t, requests[0].Signature, errUnsigned)
}
