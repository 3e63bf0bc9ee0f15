#!/usr/bin/env bash
# Everything that only a GPU can show, in one run from the repository root:
#   packages/cuda/test/device/run_all.sh FOLDER COMMIT [quick]
# Checks against the oracle, sanitizers, bytes moved, the Node tests (where `run-node-tests.sh pack` left them) and the
# benchmark; logs and JSON go to FOLDER. `quick` leaves out the long benchmark. Exit code 1 when anything failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../../.." || exit 1
out="${1:?run_all.sh FOLDER COMMIT [quick]}"
commit="${2:?run_all.sh FOLDER COMMIT [quick]}"
mode="${3:-full}"
here=packages/cuda/test/device
mkdir -p "$out"
failed=()

step() { # NAME SECONDS COMMAND...
  local name="$1" limit="$2" started=$SECONDS
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1
  local status=$?
  [ $status -eq 0 ] || failed+=("$name")
  echo "== $name: exit code $status, $((SECONDS - started)) s: $(tail -n 1 "$out/$name.log")"
  grep -E '^(FAIL|MISSED)' "$out/$name.log" | sort -u | head -n 20
}

step checks 180 python3 $here/check_kernels.py --quick --out "$out" fixtures exact edges errors memory invariance
step random 240 python3 $here/check_kernels.py --out "$out" random distribution
step sanitizers 180 $here/sanitize.sh --out "$out"
step bytes 120 $here/profile_bytes.sh --out "$out"
if [ -f packages/cuda/build/device/conformance.mjs ]; then
  FLASHSAMPLING_REQUIRE_BACKENDS=cuda step node 240 bash $here/run-node-tests.sh --json "$out/node.json"
else
  echo '== node: skipped, run-node-tests.sh pack was not run'
fi
if [ "$mode" = quick ]; then
  step bench 120 python3 apps/bench/cuda/bench.py --quick --out "$out" --commit "$commit"
else
  step bench 400 python3 apps/bench/cuda/bench.py --seconds 0.08 --out "$out" --commit "$commit"
fi
[ ${#failed[@]} -eq 0 ] && echo 'all passed' || echo "failed: ${failed[*]}"
[ ${#failed[@]} -eq 0 ]
