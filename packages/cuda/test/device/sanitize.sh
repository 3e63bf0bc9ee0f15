#!/usr/bin/env bash
# Runs a few small calls under compute-sanitizer: sanitize.sh [--out FOLDER] [memcheck|racecheck|synccheck ...]
# Exit code 1 when a tool reports an error or a call fails.
set -uo pipefail
folder="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
out=
if [ "${1:-}" = --out ]; then
  out="$2"
  shift 2
  mkdir -p "$out"
fi
tools=("$@")
[ ${#tools[@]} -gt 0 ] || tools=(memcheck racecheck synccheck)
# Each tensor in an allocation of its own: an access beyond its end is one beyond the allocation.
export PYTORCH_NO_CUDA_MEMORY_CACHING=1
passed=0
failed=0
for tool in "${tools[@]}"; do
  log="$(mktemp)"
  started=$SECONDS
  compute-sanitizer --tool "$tool" --error-exitcode 9 --report-api-errors no \
    --kernel-name kernel_substring=flashsampling python3 "$folder/sanitize_calls.py" >"$log" 2>&1
  status=$?
  [ -z "$out" ] || cp "$log" "$out/sanitize-$tool.log"
  if [ $status -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    tail -n 60 "$log"
  fi
  echo "$tool: exit code $status, $((SECONDS - started)) s, $(grep -E 'SUMMARY' "$log" | tail -n 1)"
  rm -f "$log"
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
