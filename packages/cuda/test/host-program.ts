/** Compiles programs of `native/` with the host's C++ compiler and talks to them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const kernels = fileURLToPath(new URL('../csrc/kernels', import.meta.url))
const native = fileURLToPath(new URL('native', import.meta.url))

/** The C++ compiler that runs here, or undefined. */
export function findCompiler(): string | undefined {
  const names = [process.env.CXX, 'c++', 'g++', 'clang++'].filter((name) => name !== undefined)
  return names.find((name) => name !== '' && spawnSync(name, ['--version']).status === 0)
}

/** Asks the program one command a line; gives the words of one answer a line. */
export type HostProgram = (commands: readonly string[]) => string[][]

/**
 * Builds a program in a temporary folder, with all warnings as errors.
 *
 * @param compiler - From {@link findCompiler}.
 * @param file - Name of its source in `native/`.
 * @returns The program.
 * @throws Error with the compiler's messages.
 */
export function buildHostProgram(compiler: string, file: string): HostProgram {
  const program = join(mkdtempSync(join(tmpdir(), 'flashsampling-host-')), 'program')
  const warnings = ['-Wall', '-Wextra', '-Werror', '-Wno-unknown-pragmas']
  const folders = ['-I', kernels, '-I', native, '-I', join(native, 'emulation')]
  const source = join(native, file)
  const flags = ['-std=c++17', '-O2', ...warnings, '-pthread', ...folders]
  execFileSync(compiler, [...flags, source, '-o', program])
  return (commands) => {
    const input = commands.map((command) => `${command}\n`).join('')
    const output = execFileSync(program, { input, encoding: 'utf8', maxBuffer: 2 ** 28 })
    const answers = output.trimEnd().split('\n')
    if (answers.length !== commands.length) {
      throw new Error(`${commands.length} commands, ${answers.length} answers`)
    }
    return answers.map((answer) => answer.split(' '))
  }
}

const view = new DataView(new ArrayBuffer(4))

/** The 32 bits of a number rounded to fp32: how floats travel to the program. */
export function bitsOfFloat(value: number): number {
  view.setFloat32(0, value)
  return view.getUint32(0)
}

/** The fp32 number with these bits: how floats come back. */
export function floatOfBits(bits: string | number | undefined): number {
  view.setUint32(0, Number(bits))
  return view.getFloat32(0)
}
