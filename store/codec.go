package store

// Encode writes a value of Engram's own types as everything on disk is written:
// deterministic CBOR. It is for what others keep in the store, such as the
// answer of an idempotency key; it panics on a type that CBOR does not have.
func Encode(v any) []byte { return encode(v) }

// Decode reads what Encode wrote.
func Decode(b []byte, v any) error { return decode(b, v) }
