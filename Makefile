# One command says all: make test.
#
#   make build      the binary, in bin/engram
#   make test       format, vet, staticcheck, all tests, the race detector, short fuzzing
#   make bench      the measuring of record; figures and machine in bench/results
#   make quality    recall on LoCoMo, HotpotQA and NPL (needs ENGRAM_DATA)
#   make generate   the code that comes from the schema
#   make fuzz-long  each fuzz target for ten minutes
#   make arm64      builds for arm64 and runs the tests of vector there, emulated
#   make release    archives for three platforms with their checksums, in dist
#   make release-check  builds one twice, from two folders, and compares the bytes

SHELL       := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The bounds of make test: per fuzz target, and over all of them.
FUZZ_SECONDS ?= 5
FUZZ_TOTAL   ?= 180
TEST_TIMEOUT ?= 10m

.PHONY: all build test fmt vet staticcheck unit race fuzz fuzz-long arm64 bench quality generate release release-check clean

all: build

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -o bin/engram ./cmd/engram

# All stages run even when one fails, so that one run tells all that is wrong.
# Staticcheck is among the tests (internal/arch), as are the other house rules.
test:
	@$(MAKE) --no-print-directory --keep-going fmt vet unit race fuzz
	@echo "make test: all is well"

fmt:
	@out=$$(gofmt -l $$(.ci/gofiles)); if [[ -n "$$out" ]]; then echo "not formatted; run gofmt -w on:"; echo "$$out"; exit 1; fi
	@echo "gofmt: ok"

vet:
	$(GO) vet ./...

# staticcheck is fetched and built once by the go command, outside of go.mod.
staticcheck:
	$(GO) run $(STATICCHECK) ./...

unit:
	ENGRAM_REQUIRE_TOOLS=1 $(GO) test -timeout $(TEST_TIMEOUT) ./...

# A program under the race detector sleeps a second before it ends, in case one of
# its goroutines is about to report: the commands that the tests run are hundreds.
race:
	@pkgs=$$(.ci/concurrent); echo "$(GO) test -race -short" $$pkgs; \
	GORACE="atexit_sleep_ms=20 $${GORACE:-}" CGO_ENABLED=1 $(GO) test -race -short -timeout $(TEST_TIMEOUT) $$pkgs

fuzz:
	.ci/fuzz $(FUZZ_SECONDS) $(FUZZ_TOTAL)

fuzz-long:
	.ci/fuzz 600 864000

bench:
	$(GO) run ./bench/cmd/engram-bench write
	$(GO) run ./bench/cmd/engram-bench recall
	$(GO) run ./bench/cmd/engram-bench open

quality:
	$(GO) run ./bench/cmd/engram-bench quality

generate:
	$(GO) run ./proto/gen

release:
	deploy/release.sh dist

# The second build has another path and an empty build cache.
RELEASE_CHECK ?= linux/amd64
release-check:
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; mkdir "$$work/one" "$$work/two-elsewhere"; \
	tar -cf "$$work/src.tar" --exclude=./bin --exclude=./dist --exclude=./bench/scratch .; \
	for d in one two-elsewhere; do tar -xf "$$work/src.tar" -C "$$work/$$d"; done; \
	"$$work/one/deploy/release.sh" dist $(RELEASE_CHECK); \
	GOCACHE="$$work/cache" "$$work/two-elsewhere/deploy/release.sh" dist $(RELEASE_CHECK); \
	cmp "$$work/one/dist/SHA256SUMS" "$$work/two-elsewhere/dist/SHA256SUMS"; echo "release: both builds have the same bytes"

# The tests of the kernels' twins, as arm64 runs them, under qemu-user: there is no
# assembly for it, see vector/doc.go. Debian has the emulator as qemu-user-static.
QEMU_ARM64 ?= $(shell command -v qemu-aarch64-static || command -v qemu-aarch64)
arm64:
	@[[ -n "$(QEMU_ARM64)" ]] || { echo "make arm64: there is no qemu-aarch64-static or qemu-aarch64: apt install qemu-user-static, or set QEMU_ARM64"; exit 1; }
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -o "$$work/engram" ./cmd/engram; \
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) test -c -o "$$work/vector.test" ./vector; \
	cd vector; "$(QEMU_ARM64)" "$$work/vector.test" -test.short -test.timeout $(TEST_TIMEOUT); \
	echo "make arm64: it builds, and the tests of vector pass under $$(basename $(QEMU_ARM64))"

clean:
	rm -rf bin dist
