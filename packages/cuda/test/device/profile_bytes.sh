#!/usr/bin/env bash
# Measures with Nsight Compute what a call moves through device memory: profile_bytes.sh [--out FOLDER] [options of
# profile_bytes.py]. Reads must lie within 2 % of the weight plus the hidden states, writes below 1 MB.
set -euo pipefail
folder="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out="$(mktemp -d)"
if [ "${1:-}" = --out ]; then
  out="$2"
  shift 2
  mkdir -p "$out"
fi
# The small kernel between two calls, hypot, tells which launches belong to which call.
ncu --clock-control none --profile-from-start off --kernel-name-base demangled \
  --kernel-name 'regex:flashsampling|hypot' \
  --metrics dram__bytes_read.sum,dram__bytes_write.sum,gpu__time_duration.sum \
  --print-units base --print-kernel-base demangled --csv --log-file "$out/profile-bytes.csv" \
  python3 "$folder/profile_bytes.py" calls --plan "$out/profile-bytes-plan.json" "$@"
python3 "$folder/profile_bytes.py" report --plan "$out/profile-bytes-plan.json" "$out/profile-bytes.csv"
