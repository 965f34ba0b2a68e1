package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// makePair writes NAME.pem and NAME.key: a certificate of 127.0.0.1 that is its own root.
func makePair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	put(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// TestClientsOfTLS: client commands reach a server with TLS, and one that wants a
// certificate of theirs, and say what lacks where they do not.
func TestClientsOfTLS(t *testing.T) {
	dir := t.TempDir()
	makePair(t, dir, "server")
	makePair(t, dir, "me")
	p, err := start(dir, os.Environ(), `^engram is ready on https://`, "serve", "--data", "db", "--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key", "--tls-client-ca", "me.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	secure := "https://" + p.address
	plain := strings.Replace(secure, "https", "http", 1)
	mine := []string{"--server", secure, "--server-ca", "server.pem", "--client-cert", "me.pem", "--client-key", "me.key"}
	for _, command := range [][]string{{"remember", "Low water at six"}, {"recall", "water"}, {"status"}, {"top", "--once"}, {"export", "--digest"}, {"space", "list"}} {
		if out, err := runEngram(dir, append(command, mine...)...); err != nil {
			t.Errorf("%s: %v %s", command, err, out)
		}
	}
	for _, c := range []struct {
		flags []string
		hint  string
	}{
		{[]string{"--server", secure}, "--server-ca"},
		{[]string{"--server", secure, "--server-ca", "me.pem"}, "--server-ca"},
		{[]string{"--server", secure, "--server-ca", "server.pem"}, "--client-cert"},
		{[]string{"--server", plain}, "begins with https://"},
		{[]string{"--server", secure, "--server-ca", "nowhere.pem"}, "nowhere.pem"},
		{[]string{"--server", secure, "--server-ca", "me.key"}, "has no certificate in it"},
		{[]string{"--server", secure, "--client-cert", "me.pem"}, "go together"},
		{[]string{"--server", secure, "--client-cert", "me.pem", "--client-key", "server.key"}, "of one pair"},
	} {
		for _, command := range []string{"status", "list"} {
			out, err := runEngram(dir, append([]string{command}, c.flags...)...)
			if err == nil || !strings.Contains(out, c.hint) {
				t.Errorf("%s %s: %v, without %q:\n%s", command, c.flags, err, c.hint, out)
			}
		}
	}
}

// A server without TLS is told from one that is not there.
func TestHTTPSToAPlainServer(t *testing.T) {
	p, err := start(t.TempDir(), os.Environ(), readyLine, "serve", "--data", "db", "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()
	for _, command := range []string{"status", "list"} {
		if out, err := runEngram(t.TempDir(), command, "--server", "https://"+p.address); err == nil || !strings.Contains(out, "begins with http://") {
			t.Errorf("%v %s", err, out)
		}
	}
}
