/**
 * Counts the machine instructions that decide a kernel's speed, for each kernel of the library: matrix instructions, bulk and
 * asynchronous loads, and reads and writes of spilled registers. Needs cuobjdump and nvdisasm of a CUDA toolkit.
 *
 * Usage: node scripts/sass-report.mjs [library]
 */
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { findToolchain } from './native/toolchain.mjs'

/** Column and the instructions it counts. */
const COLUMNS = Object.entries({
  HGMMA: /^HGMMA/,
  HMMA: /^HMMA/,
  UTMA: /^UTMALDG|^UBLKCP/,
  LDGSTS: /^LDGSTS/,
  MUFU: /^MUFU/,
  IMAD: /^IMAD/,
  local: /^(LDL|STL)/,
  all: /./,
})

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const library =
  process.argv[2] ?? join(root, `prebuilds/${process.platform}-${process.arch}/libflashsampling.so`)

const cuobjdump = await findDisassembler()
if (cuobjdump === undefined) {
  fail(
    'Cannot disassemble as cuobjdump was not found: install a CUDA toolkit or set FLASHSAMPLING_NVCC to its nvcc',
  )
} else if (!existsSync(library)) {
  fail(`Cannot disassemble ${library} as it does not exist: run npm run build:native`)
} else {
  print(await countInstructions(cuobjdump))
}

/**
 * @param {string} program
 * @returns {Promise<Map<string, number[]>>} Counts in the order of the columns, by architecture and kernel.
 */
async function countInstructions(program) {
  const path = `${dirname(program)}:${process.env.PATH ?? ''}`
  const child = spawn(program, ['-sass', library], {
    env: { ...process.env, PATH: path },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  /** @type {Map<string, number[]>} */
  const kernels = new Map()
  let arch = ''
  let counts = COLUMNS.map(() => 0)
  for await (const line of createInterface({ input: child.stdout })) {
    arch = /^\s*arch = (\S+)/.exec(line)?.[1] ?? arch
    const name = /^\s*Function : (\S+)/.exec(line)?.[1]
    if (name !== undefined) {
      counts = COLUMNS.map(() => 0)
      kernels.set(`${arch} ${demangle(name)}`, counts)
    }
    const instruction = /^\s*\/\*[0-9a-f]{4,}\*\/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9.]*)/.exec(
      line,
    )?.[1]
    if (instruction === undefined) continue
    for (const [i, [, pattern]] of COLUMNS.entries()) {
      if (pattern.test(instruction)) counts[i] = (counts[i] ?? 0) + 1
    }
  }
  return kernels
}

/** @param {Map<string, number[]>} kernels */
function print(kernels) {
  console.log([...COLUMNS.map(([name]) => name.padStart(7)), 'kernel'].join(' '))
  for (const [name, counts] of [...kernels].sort(([a], [b]) => (a < b ? -1 : 1))) {
    console.log([...counts.map((count) => String(count).padStart(7)), name].join(' '))
  }
}

async function findDisassembler() {
  const folders = (process.env.PATH ?? '').split(':')
  try {
    const { bin } = await findToolchain(() => undefined)
    folders.unshift(bin)
  } catch {
    // A disassembler on the PATH is enough.
  }
  return folders.map((folder) => join(folder, 'cuobjdump')).find((file) => existsSync(file))
}

/** @param {string} name */
function demangle(name) {
  try {
    return execFileSync('c++filt', [name], { encoding: 'utf8' }).trim()
  } catch {
    return name
  }
}

/** @param {string} message */
function fail(message) {
  console.error(message)
  process.exitCode = 1
}
