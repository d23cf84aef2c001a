#!/usr/bin/env bash
# Runs the table of networks (tests/e2e/networks) and writes results/networks.md beside this script, with what it ran on. Needs root, for
# network namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
load=$(cut -d' ' -f1-3 </proc/loadavg)
rm -f tests/e2e/output/networks.jsonl
scripts/test.sh all networks
table=$(node tests/e2e/support/networks-table.mjs)
{
  echo "# Networks, $(date +%F)"
  echo
  echo "- Machine: ${cpu:-unknown processor}, $(nproc) cores, Linux $(uname -r); server, TURN server and Chromium on the same one, in network namespaces"
  echo "- $(chromium --version 2>/dev/null || echo 'another Chromium'), $(turnserver --version 2>/dev/null | tail -1 | sed 's/^/coturn /'); the server as a debug build"
  echo "- Command: \`bench/networks.sh\`; commit $(git rev-parse --short HEAD)"
  echo "- Load average before: $load"
  echo
  echo "*Join* is the time from the address being typed to the first picture that was made after that and moves, the page's loading and the"
  echo "handshakes included. *Voice missing* is the longest time without a new packet of the voice, looked at every 10 ms or so."
  echo
  echo "$table"
} >bench/results/networks.md
echo bench/results/networks.md
