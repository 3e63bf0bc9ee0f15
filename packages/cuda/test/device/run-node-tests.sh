#!/usr/bin/env bash
# Tests of the Node addon on a GPU machine that has neither Node nor a package manager.
#
#   run-node-tests.sh pack          here: build/device/conformance.mjs (one file) and build/device/node.xz (this Node)
#   run-node-tests.sh [arguments]   there: needs build/device and prebuilds; arguments go to conformance.ts
#
# Prints one line a failure or skip, and last: N passed, N failed, N skipped.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "${1:-}" = pack ]; then
  npx tsup --config tsup.device.config.ts
  node -e 'process.stdout.write(process.execPath)' | xargs cat | xz -T0 -6 > build/device/node.xz
  ls -l build/device prebuilds/*
  exit
fi

node=$(command -v node || true)
if [ -f build/device/node.xz ]; then
  node=$(mktemp -d)/node
  trap 'rm -rf "$(dirname "$node")"' EXIT
  if command -v xz > /dev/null; then
    xz -dc build/device/node.xz > "$node"
  else
    python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' \
      build/device/node.xz "$node"
  fi
  chmod +x "$node"
fi
export FLASHSAMPLING_NATIVE_PATH="${FLASHSAMPLING_NATIVE_PATH:-$PWD/prebuilds/linux-x64/flashsampling.node}"
"$node" build/device/conformance.mjs "$@"
