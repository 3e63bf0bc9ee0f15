#!/usr/bin/env bash
# The WebGPU benchmark on a machine with a GPU that has neither Node nor a package manager.
#
#   webgpu-on-gpu.sh pack                        here: build/device of this folder and of packages/webgpu
#   webgpu-on-gpu.sh OUT COMMIT [arguments]      there: results into OUT; arguments go to `flashsampling-bench webgpu`
#
# Needs the same of that machine as packages/webgpu/test/device/run-gpu-tests.sh, whose Node, Dawn and Vulkan loader it
# uses.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD/build/device
runner=../../packages/webgpu/test/device/run-gpu-tests.sh

if [ "${1:-}" = pack ]; then
  "$runner" pack
  npx tsup --config tsup.webgpu.config.ts --out-dir "$here"
  mkdir -p "$here/ort"
  cp node_modules/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs "$here/ort/"
  xz -T0 -6 -c node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm \
    > "$here/ort/ort-wasm-simd-threaded.asyncify.wasm.xz"
  du -sh "$here"
  exit
fi

out=${1:?folder of the results}
commit=${2:?commit of the sources}
shift 2
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$here/." "$work"
wasm=$work/ort/ort-wasm-simd-threaded.asyncify.wasm
if command -v xz > /dev/null; then
  xz -dc "$wasm.xz" > "$wasm"
else
  python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' \
    "$wasm.xz" "$wasm"
fi
"$runner" node "$work/webgpu-bench.mjs" webgpu --out "$out" --commit "$commit" "$@"
