package conformance

import (
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// named is a change of a certificate to one of a name alone.
func named(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{name} }
}

func TestANameIsTheProxysToLookUpAndTheRequestGoesThroughItUnchanged(t *testing.T) {
	for scheme, port := range map[string]string{"http": "80", "https": "443"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			var s *server
			name := shared.forward.aTarget(port, func(c net.Conn, r request) bool {
				return connects(s.url[len(scheme+"://"):])(c, r)
			})
			if scheme == "http" {
				s = serve(t, keeps(ok))
			} else {
				s = serveTLS(t, withCertificate(t, shared.authority, time.Hour, named(name)), keeps(ok))
			}
			h := shared.proxied.hook(t, scheme+"://"+name+"/hook?a=b")
			for n := range 3 {
				h.publish(string(rune('a'+n)), aBody)
				got := h.tries(n + 1)[n]
				require.Equal(t, "delivered", got.Outcome, got.error())
			}
			require.Len(t, s.got(), 3)
			for _, r := range s.got() {
				require.Equal(t, "/hook?a=b", r.RequestURI)
				require.Equal(t, name, r.Host)
				require.Equal(t, aBody, string(r.body))
				for header := range r.Header {
					require.False(t, strings.HasPrefix(header, "Proxy-"), header)
				}
			}
			asked := shared.forward.askedFor(name)
			require.Len(t, asked, 1)
			require.Equal(t, name+":"+port, asked[0].Host)
			require.Empty(t, asked[0].body)
			require.ElementsMatch(t, []string{"Proxy-Authorization", "User-Agent"}, headersOf(asked[0]))
			require.Zero(t, shared.inside.reached.Load())
		})
	}
}

func headersOf(r request) (names []string) {
	for name := range r.Header {
		names = append(names, name)
	}
	return names
}

func TestAnAddressOutsideOrOpenedIsReachedThroughTheProxy(t *testing.T) {
	for _, host := range []string{"127.0.3.1", "9.9.9.9", "[2620:fe::9]"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(ok))
			target := host + ":" + s.port()
			shared.forward.answers.Store(target, connects(strings.TrimPrefix(s.url, "http://")))
			got := shared.proxied.hook(t, "http://"+target+"/").once()
			require.Equal(t, "delivered", got.Outcome, got.error())
			require.Equal(t, target, shared.forward.askedFor(target)[0].Host)
		})
	}
}

func TestAProxySaysInItsOwnWordsThatItIsConnected(t *testing.T) {
	for _, words := range []string{"HTTP/1.0 200 Connection established\r\n\r\n", "HTTP/1.1 200\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"} {
		t.Run(words, func(t *testing.T) {
			t.Parallel()
			s := serve(t, says(ok))
			name := shared.forward.aTarget("80", greets(words, strings.TrimPrefix(s.url, "http://")))
			got := shared.proxied.hook(t, "http://"+name+"/").once()
			require.Equal(t, "delivered", got.Outcome, got.error())
		})
	}
}

func TestThroughAProxyTooACertificateIsTheEndpoints(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, withCertificate(t, shared.authority, time.Hour, named("another.example")), says(ok))
	name := shared.forward.aTarget("443", connects(strings.TrimPrefix(s.url, "https://")))
	refused(t, shared.proxied.hook(t, "https://"+name+"/").once())
	require.Empty(t, s.got())
}

func TestAProxyThatRefusesIsAnOutageAndItsWordsAreNotShown(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for _, status := range []int{101, 302, 403, 407, 410, 502} {
			t.Run(fmt.Sprint(scheme, " ", status), func(t *testing.T) {
				t.Parallel()
				echo := proxyCredentials + " " + proxyPassword
				name := shared.forward.aTarget("8080", says(fmt.Sprintf(
					"HTTP/1.1 %d %s\r\nX-Echo: %[2]s\r\nContent-Length: %d\r\n\r\n%[2]s", status, echo, len(echo))))
				got := shared.proxied.hook(t, scheme+"://"+name+":8080/", "max_retries = 0").once()
				refused(t, got)
				require.Equal(t, fmt.Sprintf("the proxy refuses to connect: status %d", status), got.error())
				require.Nil(t, got.Answer)
				require.Len(t, shared.forward.askedFor(name), 1)
			})
		}
	}
}

func TestAnAnswerOfAProxyThatIsNoneIsAFailure(t *testing.T) {
	for what, answer := range map[string]answerer{
		"nothing":                        says(""),
		"garbage":                        says(proxyPassword + "\r\n\r\n"),
		"another protocol":               says("SSH-2.0-" + proxyPassword + "\r\n"),
		"a header without an end":        floods("HTTP/1.1 200 OK\r\n", "X: "+proxyPassword+"\r\n"),
		"a line without an end":          floods("HTTP/1.1 200 OK\r\nX: ", proxyPassword),
		"an answer to what was not sent": says(connected + ok),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name := shared.forward.aTarget("80", answer)
			got := shared.proxied.hook(t, "http://"+name+"/").once()
			refused(t, got)
			require.Contains(t, got.error(), "the proxy")
			require.NotContains(t, got.error(), proxyPassword)
			require.Len(t, shared.forward.askedFor(name), 1)
		})
	}
}

func TestTheDeadlineSpansAProxy(t *testing.T) {
	for what, answer := range map[string]answerer{
		"that is silent":                      hangs(""),
		"that stops in its answer":            hangs("HTTP/1.1 200 OK\r\nX: y\r\n"),
		"that drips":                          drips("HTTP/1.1 200 OK\r\nX: "),
		"behind which the endpoint is silent": hangs(connected),
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+" "+what, func(t *testing.T) {
				t.Parallel()
				ended := make(chan struct{})
				name := shared.forward.aTarget("8080", closing(ended, answer))
				got := shared.proxied.hook(t, scheme+"://"+name+":8080/", aShortTimeout).once()
				require.Equal(t, tooLate, got.error())
				require.Less(t, got.Duration, soon)
				await(t, ended)
			})
		}
	}
}

func TestWhatLiesInsideByItsURLIsRefusedBeforeTheProxyIsAsked(t *testing.T) {
	hosts := []string{"localhost", "LocalHost", "localhost.", "a.localhost", "127.0.0.1..", "a..localhost", "169.254.169.254", "[fd00:ec2::254]"}
	for _, host := range spellings {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	for _, host := range hosts {
		for _, scheme := range []string{"http", "https"} {
			t.Run(scheme+" "+host, func(t *testing.T) {
				t.Parallel()
				got := shared.proxied.restored(t, fmt.Sprintf("%s://%s:%s/hunter2", scheme, host, shared.inside.port())).once()
				refused(t, got)
				require.NotContains(t, got.error(), "hunter2")
				require.Empty(t, shared.forward.askedFor(":"+shared.inside.port()))
				require.Zero(t, shared.inside.reached.Load())
			})
		}
	}
}

func TestAWorkersLogNamesItsProxyWithoutThePassword(t *testing.T) {
	t.Parallel()
	var log string
	require.Eventually(t, func() bool {
		log = shared.through.Log()
		return strings.Contains(log, "proxy="+shared.forward.addr)
	}, patience, 10*time.Millisecond)
	require.NotContains(t, log, "hunter2")
	require.NotContains(t, log, strings.TrimPrefix(proxyCredentials, "Basic "))
}
