/**
 * Compiles `assembly/` to WebAssembly, once for shared and once for single-thread memory, and writes both as base64
 * text into `src/cpu/wasm-binary.generated.ts`, so that the package is one file with nothing to fetch.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

const packageDir = fileURLToPath(new URL('..', import.meta.url))
const buildDir = new URL('../build/', import.meta.url)
mkdirSync(buildDir, { recursive: true })

async function compile(name, flags) {
  const { error, stderr } = await asc.main([
    'assembly/index.ts',
    ...['--baseDir', packageDir],
    ...['--outFile', `build/${name}.wasm`],
    ...['--textFile', `build/${name}.wat`],
    ...['--runtime', 'stub', '--noAssert', '-O3', '--converge'],
    ...['--enable', 'simd', '--enable', 'threads', '--enable', 'bulk-memory'],
    ...['--importMemory', '--initialMemory', '1', '--maximumMemory', '65535'],
    ...flags,
  ])
  if (error !== null) {
    process.stderr.write(stderr.toString())
    process.exit(1)
  }
  return readFileSync(new URL(`${name}.wasm`, buildDir))
}

const constant = (name, binary) =>
  `/** Kernels that import ${name.toLowerCase().replaceAll('_', ' ')}, base64 of WebAssembly. */\n` +
  `export const ${name}: string =\n  '${binary.toString('base64')}'\n`

const shared = await compile('kernels-shared', ['--sharedMemory'])
const single = await compile('kernels-single', [])
writeFileSync(
  new URL('../src/cpu/wasm-binary.generated.ts', import.meta.url),
  '// Generated from assembly/ by scripts/build-wasm.mjs.\n' +
    constant('SHARED_MEMORY_KERNELS', shared) +
    constant('SINGLE_MEMORY_KERNELS', single),
)
console.log(`wasm kernels: ${single.length} bytes`)
