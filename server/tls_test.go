package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	engramv1 "github.com/engramdb/engram/proto/engram/v1"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
	"github.com/engramdb/engram/server"
)

// An authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue gives a certificate and its key in PEM.
func (a *authority) issue(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func tlsClient(t *testing.T, c *tls.Config) *http.Client {
	tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// servedBy is the name in the certificate that a new connection is shown.
func servedBy(t *testing.T, addr string, c *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestTLSAndReload(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	files := server.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	put := func(name string) {
		cert, key := ca.issue(t, name)
		write(t, files.Cert, cert)
		write(t, files.Key, key)
	}
	put("first")
	conf, err := server.LoadTLS(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, func(o *server.Options) { o.TLS = conf })
	addr := listen(t, s)
	trust := &tls.Config{RootCAs: ca.pool()}
	a, err := tlsClient(t, trust).Get("https://" + addr + "/v1/version")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, a); got.status != 200 || a.ProtoMajor != 2 || got.header.Get("Strict-Transport-Security") == "" || a.TLS.Version != tls.VersionTLS13 {
		t.Errorf("%d %s %v", got.status, a.Proto, got.header)
	}
	_ = a.Body.Close()
	c := engramv1connect.NewEngramServiceClient(tlsClient(t, trust), "https://"+addr, connect.WithGRPC())
	if _, err := c.GetVersion(context.Background(), &engramv1.GetVersionRequest{}); err != nil {
		t.Errorf("gRPC over TLS: %v", err)
	}
	if _, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: ca.pool(), MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // that is the test
		t.Error("TLS 1.1 is spoken")
	}
	plain, err := client(t, false).Get("http://" + addr + "/v1/version")
	if err == nil {
		_ = plain.Body.Close()
		if plain.StatusCode == 200 {
			t.Error("a request without TLS is answered")
		}
	}
	if got := servedBy(t, addr, trust); got != "first" {
		t.Errorf("served by %s", got)
	}

	put("second") // taken up by itself
	server.LookNow(conf)
	if got := servedBy(t, addr, trust); got != "second" {
		t.Errorf("after a change: served by %s", got)
	}
	write(t, files.Key, []byte("nonsense")) // the old stays
	server.LookNow(conf)
	if got := servedBy(t, addr, trust); got != "second" {
		t.Errorf("after nonsense: served by %s", got)
	}
	if err := conf.Reload(); err == nil {
		t.Error("nonsense is loaded")
	}
	put("third")
	if err := conf.Reload(); err != nil { // SIGHUP
		t.Error(err)
	}
	if got := servedBy(t, addr, trust); got != "third" {
		t.Errorf("after a reload: served by %s", got)
	}
}

func TestMutualTLS(t *testing.T) {
	ca, clients, dir := newAuthority(t), newAuthority(t), t.TempDir()
	files := server.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "clients.pem")}
	cert, key := ca.issue(t, "server")
	write(t, files.Cert, cert)
	write(t, files.Key, key)
	write(t, files.ClientCA, clients.pem)
	conf, err := server.LoadTLS(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, newServer(t, func(o *server.Options) { o.TLS = conf }))
	get := func(by *authority) error {
		c := &tls.Config{RootCAs: ca.pool()}
		if by != nil {
			cert, key := by.issue(t, "client")
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			c.Certificates = []tls.Certificate{pair}
		}
		a, err := tlsClient(t, c).Get("https://" + addr + "/v1/version")
		if err == nil {
			_ = a.Body.Close()
		}
		return err
	}
	if err := get(clients); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if get(nil) == nil || get(ca) == nil {
		t.Error("without a certificate of a client's root")
	}
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := ca.issue(t, "x")
	_, other := ca.issue(t, "y")
	for name, b := range map[string][]byte{"cert": cert, "key": key, "other": other, "empty": nil} {
		write(t, filepath.Join(dir, name), b)
	}
	for _, f := range []server.TLSFiles{{}, {Cert: "cert"}, {Cert: "cert", Key: "none"}, {Cert: "cert", Key: "other"}, {Cert: "cert", Key: "empty"}, {Cert: "cert", Key: "key", ClientCA: "empty"}, {Cert: "cert", Key: "key", ClientCA: "none"}} {
		for _, p := range []*string{&f.Cert, &f.Key, &f.ClientCA} {
			if *p != "" {
				*p = filepath.Join(dir, *p)
			}
		}
		if _, err := server.LoadTLS(f, nil); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}
