package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// serverSettings are those that say which server a client command talks to, and how.
var serverSettings = []string{"server", "server_ca", "client_cert", "client_key"}

// clientTLS is how the certificate of an https server is checked, and which is shown to
// it; nil is the system's roots, and none.
func (s *settings) clientTLS() (*tls.Config, error) {
	ca, cert, key := s.text("server_ca"), s.text("client_cert"), s.text("client_key")
	if ca+cert+key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, usage("server_ca: %v", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("server_ca: %s has no certificate in it", ca)
		}
	}
	if cert+key == "" {
		return c, nil
	}
	if cert == "" || key == "" {
		return nil, usage("client_cert and client_key go together").hinted("give --client-cert and --client-key in PEM, of one pair")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, usage("client_cert, client_key: %v", err).hinted("give --client-cert and --client-key in PEM, of one pair")
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

// httpClient is for what stands beside the calls of the API.
func httpClient(t *tls.Config) *http.Client {
	own := http.DefaultTransport.(*http.Transport).Clone()
	own.TLSClientConfig = t
	return &http.Client{Transport: own}
}

// addServerSettings gives a command the flags that say which server it talks to.
func addServerSettings(c *cobra.Command) { addSettings(c, serverSettings...) }

// unreachableHint is what to do when no call comes through.
func unreachableHint(err error) string {
	var unchecked *tls.CertificateVerificationError
	said := ""
	if err != nil {
		said = err.Error()
	}
	switch {
	case errors.As(err, &unchecked):
		return "if you trust it, name the roots of its certificate with --server-ca FILE ($ENGRAM_SERVER_CA)"
	case strings.Contains(said, "HTTP response to HTTPS client"):
		return "it speaks without TLS: its address begins with http://"
	case strings.Contains(said, "certificate required"), strings.Contains(said, "tls: bad certificate"), strings.Contains(said, "tls: unknown certificate"):
		return "it wants a certificate of yours: give --client-cert and --client-key"
	case strings.Contains(said, "https://") && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || strings.Contains(said, "client conn could not be established")):
		return "it ended the connection: if it wants a certificate of yours, give --client-cert and --client-key" // its reason was on the way
	}
	return hints["unreachable"]
}
