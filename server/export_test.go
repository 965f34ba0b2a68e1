package server

// LookNow makes the next connection look at the files, as if time had passed.
func LookNow(t *TLS) { t.looked.Store(0) }

// Buckets is how many token buckets there are.
func Buckets(s *Server) int { return s.keyRates.len() + s.spaceRates.len() }
