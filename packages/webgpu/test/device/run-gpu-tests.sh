#!/usr/bin/env bash
# Conformance, checks and timings on a machine with a GPU that has neither Node nor a package manager.
#
#   run-gpu-tests.sh pack                 here: build/device with the programs, this Node, Dawn and a Vulkan loader
#   run-gpu-tests.sh probe                there: what Vulkan and Dawn find
#   run-gpu-tests.sh suite '{"suite":"conformance"}'
#   run-gpu-tests.sh bench [arguments]    arguments go to bench.ts, for example --json OUT/bench.json or --sweep
#   run-gpu-tests.sh node PROGRAM [arguments]   any program that takes Dawn from FLASHSAMPLING_DAWN
#   run-gpu-tests.sh all OUT              everything; results into the folder OUT
#
# Needs the driver's Vulkan part (libGLX_nvidia.so.0 or libEGL_nvidia.so.0) there.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/build/device

pack() {
  node scripts/build-shaders.mjs
  npx tsup --config tsup.device.config.ts
  mkdir -p "$here/libs"
  node -e 'process.stdout.write(process.execPath)' | xargs cat | xz -T0 -6 > "$here/node.xz"
  xz -T0 -6 -c node_modules/webgpu/dist/linux-x64/dawn.node > "$here/dawn.node.xz"
  # The loader that Chromium brings needs nothing but the C library; the rest is what NVIDIA's library loads on a machine
  # without a desktop, out of packages of Debian 12.
  local loader
  for loader in /usr/lib/x86_64-linux-gnu/libvulkan.so.1 /usr/lib/chromium/libvulkan.so.1; do
    if [ -e "$loader" ]; then cp -L "$loader" "$here/libs/libvulkan.so.1"; break; fi
  done
  local packages=(libx11-6 libxext6 libxcb1 libxau6 libxdmcp6 libbsd0 libmd0 libx11-xcb1 libxrandr2 libxrender1
    libxshmfence1 libwayland-client0 libegl1 libglvnd0)
  local folder
  folder=$(mktemp -d)
  (cd "$folder" && apt-get download -q "${packages[@]}" > /dev/null && for file in *.deb; do dpkg -x "$file" .; done)
  find "$folder/usr/lib" -name 'lib*.so.[0-9]' -exec cp -L {} "$here/libs/" \;
  rm -rf "$folder"
  du -sh "$here"
}

unpack() {
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  local name
  for name in node dawn.node; do
    if command -v xz > /dev/null; then
      xz -dc "$here/$name.xz" > "$work/$name"
    else
      python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.argv[1]), open(sys.argv[2], "wb"))' \
        "$here/$name.xz" "$work/$name"
    fi
  done
  chmod +x "$work/node"
  # Dawn as a module, with the exports of the npm package.
  printf 'import { createRequire } from "node:module"\nexport const { create, globals } = createRequire(import.meta.url)("./dawn.node")\n' \
    > "$work/dawn.mjs"
  export FLASHSAMPLING_DAWN="$work/dawn.mjs"
  export LD_LIBRARY_PATH="$here/libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  find_driver
}

find_driver() {
  if [ -n "${VK_DRIVER_FILES:-}" ]; then return; fi
  local file
  for file in /usr/share/vulkan/icd.d/nvidia_icd*.json /etc/vulkan/icd.d/nvidia_icd*.json; do
    if [ -e "$file" ]; then export VK_DRIVER_FILES=$file; return; fi
  done
  # Containers often mount the library without its description.
  local folder name
  for name in libGLX_nvidia.so.0 libEGL_nvidia.so.0; do
    for folder in /usr/lib/x86_64-linux-gnu /usr/lib64 /usr/local/nvidia/lib64 /usr/lib/nvidia; do
      if [ -e "$folder/$name" ]; then
        printf '{"file_format_version":"1.0.0","ICD":{"library_path":"%s","api_version":"1.3.0"}}\n' "$folder/$name" \
          > "$work/nvidia_icd.json"
        export VK_DRIVER_FILES="$work/nvidia_icd.json"
        return
      fi
    done
  done
  echo 'no Vulkan part of the NVIDIA driver found (libGLX_nvidia.so.0, libEGL_nvidia.so.0)' >&2
}

probe() {
  echo "VK_DRIVER_FILES=${VK_DRIVER_FILES:-}"
  nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2> /dev/null || true
  ls -l /usr/lib/x86_64-linux-gnu/lib*nvidia* /usr/share/vulkan/icd.d /etc/vulkan/icd.d 2> /dev/null || true
  local library
  for library in libGLX_nvidia.so.0 libEGL_nvidia.so.0; do
    ldd "/usr/lib/x86_64-linux-gnu/$library" 2> /dev/null | grep 'not found' || true
  done
  "$work/node" "$here/run.mjs" '{"suite":"probe"}'
}

case "${1:-}" in
  pack) pack ;;
  probe) unpack; probe ;;
  suite) unpack; "$work/node" "$here/run.mjs" "$2" ;;
  node) unpack; shift; "$work/node" "$@" ;;
  bench) unpack; shift; "$work/node" "$here/bench.mjs" "$@" ;;
  all)
    unpack
    out=${2:?folder of the results}
    mkdir -p "$out"
    probe > "$out/probe.txt" 2>&1 || true
    for suite in conformance checks statistics; do
      "$work/node" "$here/run.mjs" "{\"suite\":\"$suite\"}" > "$out/$suite.jsonl" 2> "$out/$suite.err" || true
      echo "$suite: $(grep -c '"passed"' "$out/$suite.jsonl" || true) passed, $(grep -c '"failed"' "$out/$suite.jsonl" || true) failed"
    done
    "$work/node" "$here/bench.mjs" --json "$out/bench.json" 2>&1 | tee "$out/bench.txt"
    ;;
  *) sed -n '2,13p' "$0"; exit 2 ;;
esac
