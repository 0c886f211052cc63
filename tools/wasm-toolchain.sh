#!/usr/bin/env bash
# Makes the rustup toolchain "web", which builds for wasm32-unknown-unknown, where `rustup target add` has no network.
#
# Debian packages a newer Rust for its browsers, with the sources of the standard library. Those are compiled once for the
# browser into a private sysroot, which rustup then knows by name: `cargo +web check --target wasm32-unknown-unknown`.
#
#   tools/wasm-toolchain.sh [DIR]      DIR defaults to ~/.cache/encaustic/web-toolchain; nothing happens if it is complete
set -euo pipefail

dir=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/encaustic/web-toolchain}
target=wasm32-unknown-unknown
host=$(rustc -vV | sed -n 's/^host: //p')
std=$dir/lib/rustlib/$target/lib

if compgen -G "$std/libstd-*.rlib" >/dev/null; then
  rustup toolchain link web "$dir"
  exit 0
fi

packages=(rustc-web cargo-web rust-web-src rust-web-clippy libstd-rust-web-dev)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" apt-get install -y -q --no-install-recommends "${packages[@]}"
fi

# Debian ships no linker for the target; rustup's toolchains have one, which looks for its libraries beside itself
linkers=$(rustc --print sysroot)/lib/rustlib/$host/bin
mkdir -p "$dir/bin" "$std" "$dir/lib/rustlib/$host/bin"
cp -asf "/usr/lib/rustlib/$host" "$dir/lib/rustlib/"
wrap() { # wrap FILE COMMAND...: an executable FILE that runs COMMAND with its own arguments
  local file=$1
  shift
  printf '#!/bin/sh\nexec %s "$@"\n' "$*" >"$file"
  chmod +x "$file"
}
for tool in rust-lld wasm-component-ld; do
  rm -f "$dir/lib/rustlib/$host/bin/$tool"
  wrap "$dir/lib/rustlib/$host/bin/$tool" "$linkers/$tool"
done
ln -sfn "$linkers/gcc-ld" "$dir/lib/rustlib/$host/bin/gcc-ld"
for tool in rustc rustdoc clippy-driver; do
  wrap "$dir/bin/$tool" "/usr/bin/$tool" --sysroot "$dir"
done
# cargo-clippy starts the clippy-driver that lies beside it
cp -f /usr/bin/cargo-clippy "$dir/bin/cargo-clippy"
ln -sfn /usr/bin/cargo "$dir/bin/cargo"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch/src"
: >"$scratch/src/lib.rs"
printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n' >"$scratch/Cargo.toml"
(
  cd "$scratch"
  # -Zbuild-std is what a nightly would do; the variable lets this compiler do the same
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$scratch/target \
    /usr/bin/cargo build -Zbuild-std=std,panic_abort,test --target "$target" --release
)
rm -f "$std"/*
for rlib in "$scratch/target/$target/release/deps"/*.rlib; do
  [[ $(basename "$rlib") == libempty-* ]] || cp "$rlib" "$std/"
done
rustup toolchain link web "$dir"
echo "the toolchain 'web' is ready: cargo +web build --target $target"
