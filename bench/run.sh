#!/usr/bin/env bash
# Runs the benchmarks and writes results/<date>-<machine>.md beside this script, with what they ran on.
set -euo pipefail
cd "$(dirname "$0")"

cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
machine=$(tr -cs 'A-Za-z0-9' '-' <<<"${cpu:-$(uname -m)}" | tr 'A-Z' 'a-z' | sed 's/-*$//')
file=results/$(date +%F)-$machine.md
mkdir -p results

# The table that a benchmark prints.
table() { cargo bench --quiet --locked --package mingshi-bench --bench "$1" | grep '^|'; }

load=$(cut -d' ' -f1-3 </proc/loadavg)
forwarding=$(table forwarding)
batching=$(table batches)
writing=$(table journal)
{
  echo "# Forwarding path, $(date +%F)"
  echo
  echo "- Machine: ${cpu:-unknown processor}, $(nproc) cores, Linux $(uname -r)"
  echo "- $(rustc --version), release profile"
  echo "- Command: \`make bench\`; commit $(git rev-parse --short HEAD)"
  echo "- Load average before: $load"
  echo
  echo "## One packet to one subscriber"
  echo
  echo "Pictures of 5 packets, about 1,200 octets each sealed, AES-128-GCM unless named. The bare seal has a key per subscriber too."
  echo "Nanoseconds per packet, the best of nine runs; the goals are a ratio of 1.3 and no allocation."
  echo
  echo "$forwarding"
  echo
  echo "## Packets in one send"
  echo
  echo "12 s of headless Chromium per recording (\`data/\`), received over loopback: a fake 720p camera in three layers, and 1080p"
  echo "slides of text in two. *Packets a round* is the most that a send can carry; the last columns are for a worker that"
  echo "takes so long for each round because it has many receivers."
  echo
  echo "$batching"
  echo
  echo "## One packet in the journal"
  echo
  echo "1,200 octets, nanoseconds per packet, the best of nine runs. A packet is tapped and written once, however many receive it."
  echo
  echo "$writing"
} >"$file"
echo "$file"
