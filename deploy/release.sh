#!/usr/bin/env bash
# Builds the release archives into a folder, with their checksums. The same
# checkout and the same Go give the same bytes, wherever it lies: paths are trimmed,
# times are the commit's, owners are nobody's.
#
#   deploy/release.sh [FOLDER [GOOS/GOARCH...]]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
targets=("${@:2}")
(( ${#targets[@]} )) || targets=(linux/amd64 linux/arm64 darwin/arm64)
tar --version | grep -q GNU || { echo "release: GNU tar is needed" >&2; exit 1; }
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

rm -rf "$out"
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for target in "${targets[@]}"; do
  os=${target%/*} arch=${target#*/}
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 GOFLAGS="${GOFLAGS:-} -mod=readonly" \
    go build -trimpath -ldflags="-s -w" -o "$work/engram" ./cmd/engram
  # The version is what the binary itself says: a tag, or the commit's time and name.
  version=$(go version -m "$work/engram" | awk '$1 == "mod" { print $3 }')
  [[ $version == "(devel)" ]] && version=devel
  name="engram-${version#v}-$os-$arch"
  mkdir "$work/$name"
  mv "$work/engram" "$work/$name/engram"
  cp LICENSE NOTICE README.md deploy/engram.service deploy/engram.socket "$work/$name/"
  chmod 0644 "$work/$name"/*
  chmod 0755 "$work/$name/engram" "$work/$name"
  tar --sort=name --format=ustar --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -C "$work" -cf - "$name" | gzip -9n > "$out/$name.tar.gz"
  rm -rf "${work:?}/$name"
done
cd "$out"
sha256sum -- *.tar.gz | tee SHA256SUMS
