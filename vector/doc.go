// Package vector is the arithmetic over vectors: distances, norms, quantised
// codes and the matrix products of a small transformer, at the speed of the
// processor.
//
// # Problem and solution
//
// Every search comes down to one query against many rows, and every embedding to
// one matrix against many tokens. Plain Go does one multiplication an
// instruction, where a register of AVX-512 holds 16 float32 numbers or 64 bytes.
// So each operation is there three times: in plain Go, for AVX2, and for
// AVX-512 with VNNI and VPOPCNTDQ. Level says which runs; it is chosen once, at
// the start, by what the processor has. The environment variable ENGRAM_VECTOR
// (plain, avx2 or avx512) forces one, for tests and for measuring; a value that
// is unknown, or that the processor cannot run, ends the program with a message
// that says so.
//
// The assembly is written by the command in asm, a module of its own, and
// committed (go generate ./vector); a test says that it is current. The plain
// functions are the twins: they define the results, and run on all other
// processors. arm64 has no kernels by hand: the Go assembler lacks many of the
// NEON instructions that they need, and what cannot be measured would only be
// presumed fast. The twins give the same bits there: make arm64 runs the tests
// under emulation.
//
// # One result on every machine
//
// All levels give the same bits, so a result depends on its arguments only: it is
// the same in every run, on every processor, and the batch forms give what the
// single forms do. For whole numbers that is a matter of course. The float32
// inner products and distances (Dot, Dots, SquaredL2, SquaredL2s, DotsMixed) add
// in one fixed order: number i goes to lane i mod 64, each lane is added in
// ascending i from zero, and then the 64 lanes are halved: lane j takes lane
// j+32, of what is left j+16, and so on down to one. That is four registers of
// AVX-512 or eight of AVX2, enough that no addition waits for the one before.
// Every product is rounded to float32 before it is added, never fused. (NaN is
// one value here: which of its bits are set is not defined.) The transformer's
// functions say their order where they are; exp and its like are one sequence of
// rounded steps, which all levels follow.
//
// What that costs was measured against the same kernels with fused
// multiply-adds: Dot 16.0 against 15.7 ns at 768 numbers, batches no
// difference (they wait for loads), MatMulFloat32 20 %, which is 2 % of a
// transformer's layer. A tolerance instead of equal bits would have made every
// test above this package one with a tolerance.
//
// # Accuracy
//
// With n numbers and u = 2^-24 a float32 result is off by at most about
// (n/64 + 7) * u * sum |a[i]*b[i]|; for unit vectors of 768 numbers the error
// seen is below 1e-6. Products below 1.2e-38 lose digits and below 1.4e-45
// vanish. What exceeds 3.4e38 on the way becomes +Inf or -Inf, and Inf - Inf
// is NaN: a result that is not finite says that float32 was too small, and the
// Wide forms, which add in float64 in ascending i, give the value. They cannot
// overflow for finite arguments (at most 2^32 of them), and are what the fast
// forms are tested against.
//
// # Codes
//
// EncodeInt8 keeps a byte a number, with one scale a vector. On 20,000 vectors
// of MiniLM the error of a cosine is 3.8e-4 (5.3e-4 with the query in int8 too),
// and of the 11 nearest 99.5 % are found without looking at the floats. An
// offset beside the scale was measured: 3.5e-4 and 99.7 %, for a sum more to keep
// and to multiply; left.
//
// CodedRows is a table of such codes in chunks, for a graph that grows and whose
// rows never move: Keys compares a query with rows anywhere in it, and has them
// fetched from memory while others are compared.
//
// EncodeBits keeps one bit a number of the rotated vector, and 16 bytes of
// factors (RaBitQ). The estimate is unbiased and knows its deviation. On the same
// vectors the error of a cosine is 0.039; the best 50 by estimate hold 99.0 % of
// the 10 nearest, the best 100 99.9 %, the best 200 all.
//
// EncodeFour keeps four bits a number of the rotated vector, and 8 bytes of factors
// (the extension of RaBitQ), with a seventh of that deviation: half the bytes of
// int8 for ten times its error, and an error that is known: the best 10 of MiniLM hold
// 96.9 % of the 10 nearest, the best 20 all.
//
// # Numbers
//
// One core of a server with AVX-512 at 4.2 GHz, the quickest of many short runs;
// times in ns.
//
//	                          plain    AVX2   AVX-512
//	Dot                 384     152      15       9.7
//	                    768     257      26        16
//	                   1536     471      49        28
//	DotInt8             384     165     8.8       8.0
//	                    768     337      15        12
//	                   1536     659      28        21
//	SquaredL2Int8       768     401      17       9.9
//	a row of Dots       768     256      23        18   from the second-level cache
//	a row of DotsInt8   768     330      14       3.7   from the second-level cache
//	DotsInt8At          768     671     162        38   anywhere in 64 MiB; one by one 109
//	CodedRows.Keys      768     710     170        33   anywhere in 64 MiB, scaled and with a bias
//	an estimate, 1 bit  384      12      12       1.5
//	                    768      21      21       2.4
//	                   1536      38      38       3.3
//	an estimate, 4 bits 384     209     3.9       2.1
//	                    768     420     6.6       3.0
//	                   1536     842      12       6.1
//	EncodeFour          768    9900    9900      9900
//	Rotate              768    7700     680       490
//	BitQuery.Set        768    3300     880       840
//
// From memory (64 MiB of rows) Dots and DotsInt8 read 40 to 50 GB/s at AVX-512,
// adding the same bytes up 48. A batch from the second-level cache takes half the
// time of SimSIMD 6.5 for float32 and a third to a quarter for int8.
//
//	giga multiply-adds a second     plain    AVX2   AVX-512
//	MatMulInt8, 8 to 512 rows         3.1      85   510-540   (VPDPBUSD alone: 535)
//	MatMulInt8, 1 row                 3.1      68   225-245
//	MatMulFloat32, 128x32x128         2.2      48       105
//
//	microseconds, 128 tokens        plain    AVX2   AVX-512
//	SoftmaxRows 128x128                69       9       5.7
//	GELU 128x1536                    1120     139        68
//	LayerNorm 128x384                  62      10        10
//	QuantizeRows 128x1536             665      26        21
//	Dequantize 128x1536               141      15        10
//
// # Tried and left
//
// Fused multiply-adds and an offset for int8: see above. Eight lanes, the order
// before: a register of AVX2, whose additions then wait for each other. Rows one
// at a time: each row would load the query again; four at once share it, and for
// rows that are scattered four streams of cache misses run at once, which is a
// factor of three. Four rows are also four streams for the processor's
// prefetching, which then lags: int8 batches ask for memory 8 KiB ahead. Tables
// of 16 entries for the 1-bit codes (a shuffle for each 4 bits of 64 codes):
// quicker for long scans, but codes then lie in blocks of 64 and one alone cannot
// be read; left until a profile asks for it. At AVX2 the 1-bit estimate is the
// twin's, with one popcount an instruction.
//
// All functions are pure: safe for concurrent use, keep nothing, and only the
// slices named out, dst, code or scratch are written. Slices whose lengths do not
// fit are a bug of the caller and panic.
package vector
