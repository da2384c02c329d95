// Package certificate makes authorities and certificates for tests, as files in PEM form.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// An Authority signs certificates.
type Authority struct {
	File        string // PEM
	Certificate *x509.Certificate

	folder string
	key    *ecdsa.PrivateKey
}

// NewAuthority makes one that keeps its files in a folder of its own.
func NewAuthority(folder string) (*Authority, error) {
	a := &Authority{File: filepath.Join(folder, "ca.pem"), folder: folder}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	encoded, key, err := a.sign(template)
	if err != nil {
		return nil, err
	}
	a.key = key
	if a.Certificate, err = x509.ParseCertificate(encoded); err != nil {
		return nil, err
	}
	return a, write(a.File, "CERTIFICATE", encoded)
}

func (a *Authority) sign(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	parent, signer := a.Certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	encoded, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	return encoded, key, err
}

// A Pair is a certificate with its key, in files.
type Pair struct{ CertFile, KeyFile string }

// Load reads it.
func (p Pair) Load() (tls.Certificate, error) { return tls.LoadX509KeyPair(p.CertFile, p.KeyFile) }

// Issue makes a certificate for 127.0.0.1 that ends after a time.
func (a *Authority) Issue(valid time.Duration, change ...func(*x509.Certificate)) (Pair, error) {
	serial := time.Now().UnixNano()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(valid),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, f := range change {
		f(template)
	}
	encoded, key, err := a.sign(template)
	if err != nil {
		return Pair{}, err
	}
	held, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	name := filepath.Join(a.folder, strconv.FormatInt(serial, 10))
	p := Pair{name + "-cert.pem", name + "-key.pem"}
	if err := write(p.CertFile, "CERTIFICATE", encoded); err != nil {
		return Pair{}, err
	}
	return p, write(p.KeyFile, "EC PRIVATE KEY", held)
}

func write(path, kind string, encoded []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: encoded}), 0o644)
}
