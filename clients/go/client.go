package engramclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/engramdb/engram/memory"
	"github.com/engramdb/engram/proto/engram/v1/engramv1connect"
)

// Protocol is what is spoken on the wire; the calls are the same.
type Protocol string

// The protocols.
const (
	Connect Protocol = "connect" // over HTTP/1.1, or HTTP/2 with TLS; the default
	GRPC    Protocol = "grpc"    // over HTTP/2, without TLS too
)

// Options of a client. The zero value of each field means its default.
type Options struct {
	// Key is the API key, sent as Authorization: Bearer. It is refused for a
	// plain http address that is not loopback, where anybody on the way could read
	// it, unless KeyInTheOpen says that nobody is.
	Key          string
	KeyInTheOpen bool
	// Protocol on the wire; default Connect.
	Protocol Protocol
	// TLS for https addresses; nil is the system's.
	TLS *tls.Config
	// Transport replaces the client's own connections; TLS is then its affair.
	Transport http.RoundTripper

	// Timeout of a call whose context has no deadline, all its retries included;
	// default 30 s, negative for none.
	Timeout time.Duration
	// Retries is how often a call is repeated at most; default 4, negative for
	// never.
	Retries int
	// Backoff is the most that is waited before the first repetition; it doubles
	// each time, up to MaxBackoff. Default 50 ms.
	Backoff time.Duration
	// MaxBackoff is the longest wait; default 5 s.
	MaxBackoff time.Duration

	// NoIdempotencyKeys leaves the keys away that writes get. A write whose answer
	// was lost is then not repeated.
	NoIdempotencyKeys bool
	// StaleReads lets reads be older than what this client has seen.
	StaleReads bool
	// Silence is how long a stream of events may say nothing, no ping either,
	// before it is taken up again; default 60 s.
	Silence time.Duration

	// UserAgent goes before the library's own.
	UserAgent string

	// For tests: the wait, and a number from 0 up to 1.
	sleep func(ctx context.Context, d time.Duration) error
	dice  func() float64
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value *time.Duration
		zero  time.Duration
	}{{&o.Timeout, 30 * time.Second}, {&o.Backoff, 50 * time.Millisecond}, {&o.MaxBackoff, 5 * time.Second}, {&o.Silence, time.Minute}} {
		if *d.value == 0 {
			*d.value = d.zero
		}
	}
	if o.Retries == 0 {
		o.Retries = 4
	}
	if o.Protocol == "" {
		o.Protocol = Connect
	}
	if o.sleep == nil {
		o.sleep = sleep
	}
	if o.dice == nil {
		o.dice = rand.Float64
	}
	return o
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A Client talks to one server. It is safe for concurrent use, and one for the
// whole program is right: it keeps and shares connections.
type Client struct {
	// The calls of the API, each under its own name.
	engramv1connect.EngramServiceClient

	o      Options
	base   string
	events engramv1connect.EventServiceClient
	http   *http.Client
	seen   seen
}

// New makes the client of a server at HOST:PORT, HOST (port 7432), or a URL.
// Nothing is sent yet. Close it to close its connections.
func New(address string, o Options) (*Client, error) {
	base, err := BaseURL(address)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.Protocol != Connect && o.Protocol != GRPC {
		return nil, memory.Invalid("protocol_unknown", "protocol", "protocol is %.32q; it can be connect or grpc", o.Protocol)
	}
	if err := checkKey(base, o.Key); err != nil && !o.KeyInTheOpen {
		return nil, err
	}
	c := &Client{o: o, base: base, http: &http.Client{Transport: o.Transport}}
	if o.Transport == nil {
		c.http.Transport = transport(o)
	}
	options := []connect.ClientOption{connect.WithInterceptors(&door{c})}
	if o.Protocol == GRPC {
		options = append(options, connect.WithGRPC())
	}
	c.EngramServiceClient = engramv1connect.NewEngramServiceClient(heard{c.http}, base, options...)
	c.events = engramv1connect.NewEventServiceClient(heard{c.http}, base, options...)
	return c, nil
}

// idleConnections is how many connections wait for the next call; net/http's own
// bound of two would open a new one for nearly every call of a busy program.
const idleConnections = 64

// requestBuffer has room for a memory with its vector, so that it is sent at once.
const requestBuffer = 16 << 10

// transport makes the client's own connections. gRPC needs HTTP/2, also where
// there is no TLS to agree on it.
func transport(o Options) *http.Transport {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: o.TLS, DialContext: (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost: idleConnections, WriteBufferSize: requestBuffer, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
		Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP2(true)
	if o.Protocol == GRPC {
		t.Protocols.SetUnencryptedHTTP2(true)
	} else {
		t.Protocols.SetHTTP1(true)
	}
	return t
}

// Close closes the connections that wait. Calls that run go on to their end.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Address is the server's URL.
func (c *Client) Address() string { return c.base }

// defaultPort is the server's when an address has none.
const defaultPort = "7432"

// BaseURL makes a URL of HOST:PORT, HOST, :PORT or a URL.
func BaseURL(address string) (string, error) {
	if strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" {
			return "", badAddress(address)
		}
		return strings.TrimSuffix(address, "/"), nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), defaultPort
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if strings.ContainsAny(host, "/ ?#@") || port == "" {
		return "", badAddress(address)
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

func badAddress(address string) error {
	return memory.Invalid("address_invalid", "server", "%.128q is not the address of a server", address).
		Hinted("give HOST:PORT, such as 127.0.0.1:%s, or a URL", defaultPort)
}

// checkKey refuses to send a key where anybody on the way could read it.
func checkKey(base, key string) error {
	u, err := url.Parse(base)
	if err != nil || key == "" || u.Scheme == "https" {
		return nil
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return memory.Invalid("key_in_the_open", "key", "the API key would go to %s in the open, for anybody on the way to read", base).
		Hinted("use the server's https address")
}

// library is the client's name in the User-Agent.
const library = "engram-go/1"

func (o *Options) userAgent() string {
	if o.UserAgent == "" {
		return library
	}
	return fmt.Sprintf("%s %s", o.UserAgent, library)
}
