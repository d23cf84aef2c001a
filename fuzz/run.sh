#!/usr/bin/env bash
# Feeds every fuzz target for a while and writes what came of it to bench/results/fuzz.md.
#
#   fuzz/run.sh SECONDS [TARGET…]    every target (or those named) for so many seconds each
#   JOBS=2 fuzz/run.sh 600           two at a time
#
# Inputs that reach new code stay in target/fuzz/corpora; findings go to fuzz/corpora/<target>/ as regressions.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$HOME/.cargo/bin:$PATH"

seconds=${1:?how many seconds for each target}
shift
jobs=${JOBS:-1}
target=x86_64-unknown-linux-gnu
[ "$(uname -m)" = aarch64 ] && target=aarch64-unknown-linux-gnu

# What libFuzzer needs to see which code an input reaches. Both flags are stable rustc's; naming the target keeps them
# from build scripts.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS="$coverage" cargo build --quiet --locked --profile fuzz --target $target --target-dir target/fuzz/build \
  -p mingshi-fuzz --bin fuzz --features libfuzzer || exit 1
program=$PWD/target/fuzz/build/$target/fuzz/fuzz

if [ $# -gt 0 ]; then names=("$@"); else mapfile -t names < <(cargo run --quiet --locked -p mingshi-fuzz --bin fuzz); fi
logs=target/fuzz/logs
mkdir -p $logs

feed() {
  local name=$1 grown=target/fuzz/corpora/$1 kept=fuzz/corpora/$1
  local also=()
  mkdir -p "$grown" "$kept"
  [ "$name" = sdp_offer ] && also=(tests/data/offers)
  FUZZ_TARGET=$name nice -n 19 "$program" "$grown" "$kept" "${also[@]}" -max_total_time="$seconds" -max_len=8192 \
    -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix="$kept/found-" >"$logs/$name.log" 2>&1
  echo $? >"$logs/$name.code"
}

for name in "${names[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
  feed "$name" &
done
wait

# stat NAME LABEL: a closing figure of libFuzzer.
stat() { sed -nE "s/^stat::$2: *([0-9]+).*/\1/p" "$logs/$1.log" | tail -1; }
# seen NAME WHAT: the last value of `cov:` or `ft:`.
seen() { grep -oE "$2: [0-9]+" "$logs/$1.log" | tail -1 | cut -d' ' -f2; }

{
  printf '# Fuzzing\n\n'
  printf '`JOBS=%s fuzz/run.sh %s` on %s, %s cores, %s; %s, libFuzzer with coverage, debug assertions and overflow checks on.\n\n' \
    "$jobs" "$seconds" "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)" "$(nproc)" "$(uname -sr)" "$(rustc --version)"
  printf 'Edges are counted over the whole program, the parser and what it stands on.\n\n'
  printf '| target | seconds | executions | edges reached | inputs kept by coverage | slowest input (s) | crashes |\n|---|---|---|---|---|---|---|\n'
  for name in "${names[@]}"; do
    crashes=0
    [ "$(cat "$logs/$name.code")" = 0 ] || crashes=1
    ran=$(sed -nE 's/^Done [0-9]+ runs in ([0-9]+) second.*/\1/p' "$logs/$name.log" | tail -1)
    printf '| %s | %s | %s | %s | %s | %s | %s |\n' "$name" "${ran:-?}" "$(stat "$name" number_of_executed_units)" \
      "$(seen "$name" cov)" "$(find "target/fuzz/corpora/$name" -type f | wc -l)" \
      "$(stat "$name" slowest_unit_time_sec)" "$crashes"
  done
} >bench/results/fuzz.md
cat bench/results/fuzz.md
! grep -qv '^0$' $logs/*.code
