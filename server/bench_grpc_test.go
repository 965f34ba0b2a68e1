package server_test

import (
	"context"
	"testing"

	engramclient "github.com/engramdb/engram/clients/go"
	engramv1 "github.com/engramdb/engram/proto/engram/v1"
)

// BenchmarkGRPC is unary calls over TCP, the client on the same cores.
func BenchmarkGRPC(b *testing.B) {
	s := newServer(b)
	id := remember(b, s, `{"text":"the otters at the harbour"}`)
	address := listen(b, s)
	for _, p := range []engramclient.Protocol{engramclient.GRPC, engramclient.Connect} {
		c, err := engramclient.New(address, engramclient.Options{Protocol: p, Timeout: -1, Retries: -1, NoIdempotencyKeys: true, StaleReads: true})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(p), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.GetMemory(context.Background(), &engramv1.GetMemoryRequest{Space: "default", Id: id}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
		c.Close()
	}
}
