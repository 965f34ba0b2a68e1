package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/engramdb/engram/memory"
)

// TLSFiles are where the server's certificate comes from, in PEM.
type TLSFiles struct {
	Cert string // the certificate, and those between it and a root
	Key  string
	// ClientCA, when it is set, has the roots of client certificates, without one
	// of which nobody gets a connection (mutual TLS).
	ClientCA string
}

// TLS is the certificate of a server. It looks at its files again when somebody
// connects and the last look is some time ago, so that a renewed certificate is
// taken up without a restart; one that cannot be read leaves the old in force.
type TLS struct {
	files   TLSFiles
	log     *slog.Logger
	now     func() time.Time
	current atomic.Pointer[tls.Config]
	looked  atomic.Int64 // when, in Unix nanoseconds

	mu struct { // held while files are read
		sync.Mutex
		seen []os.FileInfo // as they were when they were last read
	}
}

// tlsLookEvery is how often the files are looked at, at most.
const tlsLookEvery = time.Second

// LoadTLS reads the files; tls_invalid when they are not what they should be.
func LoadTLS(files TLSFiles, log *slog.Logger) (*TLS, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	t := &TLS{files: files, log: log, now: time.Now}
	t.looked.Store(t.now().UnixNano())
	return t, t.Reload()
}

// Reload reads the files now: what a SIGHUP should do. On an error the old ones
// stay in force.
func (t *TLS) Reload() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reloadLocked()
}

func (t *TLS) reloadLocked() error {
	seen, err := t.stat() // before they are read: a change in between is seen at the next look
	if err != nil {
		return tlsInvalid(err)
	}
	c, err := t.files.config()
	if err != nil {
		return tlsInvalid(err)
	}
	t.current.Store(c)
	t.mu.seen = seen
	return nil
}

func tlsInvalid(err error) error {
	e := memory.Invalid("tls_invalid", "tls", "the files for TLS cannot be used: %v", err)
	e.Cause = err
	return e.Hinted("give --tls-cert and --tls-key in PEM, of one pair")
}

func (t *TLS) stat() ([]os.FileInfo, error) {
	var all []os.FileInfo
	for _, name := range []string{t.files.Cert, t.files.Key, t.files.ClientCA} {
		if name == "" {
			continue
		}
		i, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		all = append(all, i)
	}
	return all, nil
}

// config makes the settings of one state of the files. What is left out is Go's
// own choice, which is modern: AEAD ciphers with forward secrecy, X25519 and its
// post-quantum hybrid.
func (f TLSFiles) config() (*tls.Config, error) {
	if f.Cert == "" || f.Key == "" {
		return nil, errors.New("a certificate and a key are both needed")
	}
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if f.ClientCA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, err
	}
	c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in it", f.ClientCA)
	}
	return c, nil
}

// config gives what a listener takes: the state of the files at each connection.
func (t *TLS) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			t.look()
			return t.current.Load(), nil
		}}
}

// look reads the files when they have changed. One caller looks, the others go on.
func (t *TLS) look() {
	now, last := t.now().UnixNano(), t.looked.Load()
	if now-last < int64(tlsLookEvery) || !t.looked.CompareAndSwap(last, now) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	seen, err := t.stat()
	if err == nil && sameFiles(seen, t.mu.seen) {
		return
	}
	if err == nil {
		err = t.reloadLocked()
	}
	if err != nil {
		t.log.Error("the new files for TLS cannot be used; the old certificate stays", "error", err)
		return
	}
	t.log.Info("the files for TLS were read again", "cert", t.files.Cert)
}

func sameFiles(a, b []os.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}
