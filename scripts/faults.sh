#!/usr/bin/env bash
# Breaks one thing after the other under lessons in real browsers, the long breaks included, and writes what came of it
# to bench/results/faults.md. Needs root, for network namespaces and a small disk; takes about five minutes.
set -uo pipefail
cd "$(dirname "$0")/.."

rows=tests/e2e/output/faults.jsonl
rm -f $rows
load=$(cut -d' ' -f1-3 </proc/loadavg)
FAULTS=all scripts/test.sh all faults
outcome=$?
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
{
  echo "# Faults, $(date +%F)"
  echo
  echo "- Machine: ${cpu:-unknown processor}, $(nproc) cores, Linux $(uname -r), which runs server, studios and classrooms at once"
  echo "- $(chromium --version 2>/dev/null || echo 'Chromium of unknown version'); server in the debug profile"
  echo "- Command: \`scripts/faults.sh\`; commit $(git rev-parse --short HEAD); $([ $outcome = 0 ] && echo 'all tests passed' || echo '**some tests failed**')"
  echo "- Load average before: $load"
  echo
  echo "A line that *is cut* loses everything silently, both ways; one that *is pulled out* tells its machine. *Again* counts from the"
  echo "moment the line is whole: voice when a tenth of a second of it has been received, pictures when one made after that moment is on"
  echo "screen. *Live without voice* is how long the page says nothing but 直播中 while nothing is heard."
  echo
  echo "| what happens | what came of it | what people read meanwhile |"
  echo "|---|---|---|"
  node -e '
    for (const line of require("node:fs").readFileSync(process.argv[1], "utf8").trim().split("\n")) {
      const { fault, figures, said } = JSON.parse(line);
      console.log(`| ${fault} | ${figures.join("<br>")} | ${said.join(" → ")} |`);
    }' $rows
} >bench/results/faults.md
echo bench/results/faults.md
exit $outcome
