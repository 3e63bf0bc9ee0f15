/** Prints what a bug report needs to know about the machine: versions, processor, SIMD and the commit. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { readJson, repositoryRoot } from './lib/workspace.mjs'

/** Module with one function that returns the v128 of its instruction sequence. */
const WASM_HEADER = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0]
/** `i32.const 0; i8x16.splat` */
const SIMD = wasmFunction([0x41, 0, 0xfd, 0x0f])
/** Three times `i32.const 0; i8x16.splat`, then `f32x4.relaxed_madd` */
const RELAXED_SIMD = wasmFunction([
  ...[0x41, 0, 0xfd, 0x0f, 0x41, 0, 0xfd, 0x0f, 0x41, 0, 0xfd, 0x0f],
  ...[0xfd, 0x85, 0x02],
])

const rows = {
  Commit: describeCommit(),
  System: `${process.platform} ${release()} ${process.arch}`,
  Processor: `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} threads`,
  Memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
  'Processor SIMD': processorFeatures(),
  'WebAssembly SIMD': yesOrNo(WebAssembly.validate(SIMD)),
  'Relaxed SIMD': yesOrNo(WebAssembly.validate(RELAXED_SIMD)),
  Node: `${process.versions.node} (V8 ${process.versions.v8})`,
  npm: output('npm', ['--version']),
  pnpm: readJson(join(repositoryRoot, 'package.json')).packageManager.replace('pnpm@', ''),
  Python: output('python3', ['--version']).replace('Python ', ''),
  pip: output('python3', ['-m', 'pip', '--version']).replace(/^pip (\S+).*$/, '$1'),
  'C++ compiler': output(process.env.CXX || 'g++', ['--version']).split('\n')[0],
  nvcc: /\bV(\d[\d.]*)/.exec(output(process.env.FLASHSAMPLING_NVCC || 'nvcc', ['--version']))?.[1],
  'Native build': nativeBuild(),
  GPU: output('nvidia-smi', ['--query-gpu=name,driver_version', '--format=csv,noheader']),
}
for (const [name, value] of Object.entries(rows)) {
  console.log(`${name.padEnd(18)}${value ?? 'not found'}`)
}

function describeCommit() {
  const commit = output('git', ['rev-parse', '--short=12', 'HEAD'])
  const changed = output('git', ['status', '--porcelain'])
  return changed === '' || changed === 'not found' ? commit : `${commit} with uncommitted changes`
}

/** Whether the CUDA package was compiled, and why not. */
function nativeBuild() {
  try {
    const file = join(repositoryRoot, 'packages/cuda/build/native/status.json')
    const { built, reason, failure } = readJson(file)
    return built ? 'yes' : (reason ?? failure).split('\n')[0]
  } catch {
    return 'no'
  }
}

/** Features of the first processor that matter to the kernels, where the system tells. */
function processorFeatures() {
  try {
    const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1]
    const known = [
      'sse4_1',
      'avx',
      'avx2',
      'fma',
      'f16c',
      'avx512f',
      'avx512_vnni',
      'asimd',
      'asimddp',
    ]
    const words = new Set(flags?.trim().split(/\s+/))
    return known.filter((name) => words.has(name)).join(' ') || 'unknown'
  } catch {
    return 'unknown'
  }
}

/** @param {number[]} instructions */
function wasmFunction(instructions) {
  const body = [0, ...instructions, 0x0b]
  return Uint8Array.from([...WASM_HEADER, 10, body.length + 2, 1, body.length, ...body])
}

/** @param {boolean} value */
function yesOrNo(value) {
  return value ? 'yes' : 'no'
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {string} What the program prints, without its end of line.
 */
function output(command, args) {
  try {
    return execFileSync(command, args, {
      cwd: repositoryRoot,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return 'not found'
  }
}
