/**
 * Compiles `assembly/read-ceiling.ts` to WebAssembly and inlines it as a TypeScript module.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = join(root, 'src/harness/read-ceiling.generated.ts')
const scratch = mkdtempSync(join(tmpdir(), 'flashsampling-wasm-'))
try {
  const binary = join(scratch, 'read-ceiling.wasm')
  const { error, stderr } = await asc.main([
    join(root, 'assembly/read-ceiling.ts'),
    ...['--outFile', binary, '--runtime', 'stub', '--optimizeLevel', '3', '--noAssert'],
    ...['--enable', 'simd', '--enable', 'threads', '--importMemory', '--sharedMemory'],
    ...['--initialMemory', '1', '--maximumMemory', '65536'],
  ])
  if (error !== null) throw new Error(`Cannot compile the read kernels: ${stderr.toString()}`)
  const base64 = readFileSync(binary).toString('base64')
  writeFileSync(
    target,
    `/** WebAssembly of assembly/read-ceiling.ts, base64; written by scripts/build-wasm.mjs. */\n` +
      `export const READ_CEILING_WASM: string =\n  '${base64}'\n`,
  )
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
