/** The native build's own logic: what is compiled again, where a compiler is looked for, what happens without one. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { makeAll, type Outcome, type Task } from '../scripts/native/objects.mjs'

const scripts = fileURLToPath(new URL('../scripts', import.meta.url))

/** Writes files into a temporary folder; those in `bin` are programs. */
function makeTree(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'flashsampling-build-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), content)
    if (name.startsWith('bin/')) chmodSync(join(root, name), 0o755)
  }
  return root
}

/** Reads `-o`, `-MF` and the source like a compiler; the object is the header's text, and each run is counted. */
const COMPILER = `#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    -o) output=$2; shift;;
    -MF) list=$2; shift;;
  esac
  shift
done
echo run >> runs
cat header.h > "$output"
echo "$output: source.cc header.h /usr/include/stdio.h" > "$list"
echo "warning: compiled"
`

function compileTask(root: string): Task {
  return {
    output: 'out/source.o',
    command: join(root, 'bin/compiler'),
    args: ['-c', 'source.cc'],
    identity: 'compiler 1',
    inputs: ['source.cc'],
    dependenceFlag: '-MMD',
  }
}

async function make(root: string, task: Task): Promise<Outcome | undefined> {
  const outcomes = await makeAll(root, 'records', [task], 1, () => undefined)
  return outcomes[0]
}

describe('makeAll()', () => {
  it('compiles again when a header, the source, a flag or the compiler changes, and else not', async () => {
    const root = makeTree({ 'bin/compiler': COMPILER, 'source.cc': 'a', 'header.h': 'b' })
    const task = compileTask(root)
    const runs: (boolean | undefined)[] = []
    const record = async (changed: Task) => runs.push((await make(root, changed))?.ran)
    await record(task)
    await record(task)
    writeFileSync(join(root, 'header.h'), 'changed')
    await record(task)
    // The same content again is no change, however new the file is.
    writeFileSync(join(root, 'header.h'), 'changed')
    await record(task)
    writeFileSync(join(root, 'source.cc'), 'changed')
    await record(task)
    await record({ ...task, args: [...task.args, '-O3'] })
    await record({ ...task, args: [...task.args, '-O3'], identity: 'compiler 2' })
    rmSync(join(root, 'out/source.o'))
    await record({ ...task, args: [...task.args, '-O3'], identity: 'compiler 2' })
    expect(runs).toEqual([true, false, true, false, true, true, true, true])
    expect(readFileSync(join(root, 'runs'), 'utf8').split('\n')).toHaveLength(6 + 1)
  })

  it('keeps what the compiler said for builds that do not compile again', async () => {
    const root = makeTree({ 'bin/compiler': COMPILER, 'source.cc': 'a', 'header.h': 'b' })
    const first = await make(root, compileTask(root))
    const second = await make(root, compileTask(root))
    expect([first?.ran, second?.ran]).toEqual([true, false])
    expect(second?.output).toBe('warning: compiled\n')
    expect(second?.output).toBe(first?.output)
  })

  it('rejects with what a failing compiler printed, and compiles again the next time', async () => {
    const failing = '#!/bin/sh\necho "source.cc:1: no" >&2\nexit 3\n'
    const root = makeTree({ 'bin/compiler': failing, 'source.cc': 'a', 'header.h': 'b' })
    await expect(make(root, compileTask(root))).rejects.toThrow(
      /source\.cc:1: no\n.* ended with 3/s,
    )
    writeFileSync(join(root, 'bin/compiler'), COMPILER)
    expect((await make(root, compileTask(root)))?.ran).toBe(true)
  })
})

const HOST_COMPILER = '#!/bin/sh\necho "g++ (test) 1.0"\n'
const BROKEN_PYTHON = '#!/bin/sh\necho "No module named pip" >&2\nexit 1\n'
const OLD_NVCC = '#!/bin/sh\necho "Cuda compilation tools, release 11.8, V11.8.89"\n'
const LONE_NVCC = '#!/bin/sh\necho "Cuda compilation tools, release 13.0, V13.0.88"\n'

/** Starts the build of a package without sources; nothing but `bin` is on its PATH. */
function build(files: Record<string, string>, args: string[], env: Record<string, string> = {}) {
  const root = makeTree({ 'package.json': '{ "version": "1.2.3" }', ...files })
  cpSync(scripts, join(root, 'scripts'), { recursive: true })
  const result = spawnSync(process.execPath, ['scripts/build-native.mjs', ...args], {
    cwd: root,
    encoding: 'utf8',
    env: { PATH: join(root, 'bin'), FLASHSAMPLING_CACHE_DIR: join(root, 'cache'), ...env },
  })
  const status = JSON.parse(readFileSync(join(root, 'build/native/status.json'), 'utf8'))
  return { ...result, buildStatus: status }
}

/** A toolkit in its usual place is found whatever the PATH is. */
const installed = existsSync('/usr/local/cuda/bin/nvcc')
const note = 'a CUDA toolkit is installed in /usr/local/cuda'

const linuxOnly = process.platform === 'linux' ? '' : ' (skipped: native code is built on Linux)'

describe.skipIf(linuxOnly !== '')(`build-native.mjs without a compiler${linuxOnly}`, () => {
  const files = { 'bin/g++': HOST_COMPILER, 'bin/python3': BROKEN_PYTHON }

  it('says what was tried and fails', ({ skip }) => {
    skip(installed, note)
    const { status, stderr, buildStatus } = build({ ...files, 'bin/nvcc': OLD_NVCC }, [])
    expect(status).toBe(1)
    expect(stderr).toMatch(/^Cannot compile the CUDA kernels as there is no CUDA compiler:\n/)
    expect(stderr).toMatch(/- PATH: \S+nvcc is version 11\.8\.89, not 12\.4 or later\n/)
    expect(stderr).toMatch(/- pip cannot fetch a compiler: No module named pip\n/)
    expect(stderr).toMatch(/Install CUDA 12\.4 or later, or Python 3 with pip/)
    expect(buildStatus).toEqual({ built: false, failure: stderr.trimEnd() })
  })

  it('says why and succeeds with --if-possible', ({ skip }) => {
    skip(installed, note)
    const { status, stderr, buildStatus } = build(files, ['--if-possible'])
    expect(status).toBe(0)
    expect(stderr).toMatch(/^native build skipped: Cannot compile the CUDA kernels/)
    expect(buildStatus.reason).toMatch(/pip cannot fetch a compiler: No module named pip/)
  })

  it('takes the compiler of FLASHSAMPLING_NVCC or none', () => {
    const env = { FLASHSAMPLING_NVCC: '/nowhere/nvcc' }
    const { status, stderr } = build(files, [], env)
    expect(status).toBe(1)
    expect(stderr).toMatch(/FLASHSAMPLING_NVCC: \/nowhere\/nvcc cannot be started/)
    expect(stderr).not.toMatch(/pip/)
  })

  it('passes over a compiler that comes without its runtime', ({ skip }) => {
    skip(installed, note)
    const { stderr } = build({ ...files, 'bin/nvcc': LONE_NVCC }, [])
    expect(stderr).toMatch(/bin\/nvcc comes without cuda_runtime\.h/)
  })

  it('asks for a C++ compiler first', () => {
    const { status, stderr } = build({ 'bin/python3': BROKEN_PYTHON }, [])
    expect(status).toBe(1)
    expect(stderr).toMatch(/as "g\+\+" cannot be started: install g\+\+ or set CXX/)
  })
})
