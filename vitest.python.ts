import { type SpawnSyncReturns, spawnSync } from 'node:child_process'

/** Parses the Python files of the folders that it is given; prints how many they are. */
const PARSE = `
import ast, pathlib, sys
files = [file for folder in sys.argv[1:] for file in pathlib.Path(folder).glob("*.py")]
for file in files:
    ast.parse(file.read_text(), str(file))
print(len(files))
`

/** Why Python sources cannot be tested on this machine; undefined where they can. */
export const pythonObstacle: string | undefined = findObstacle()

/**
 * Runs the unittest tests of a folder.
 *
 * @param root - Folder to run in.
 * @param folder - Relative to it.
 * @returns How many tests passed; skipped ones do not count.
 * @throws Error with Python's output when a test fails.
 */
export function runPythonTests(root: string, folder: string): number {
  const output = runPython(root, '-m', 'unittest', 'discover', '-s', folder)
  const [, run = '0'] = /^Ran (\d+) tests/m.exec(output) ?? []
  const [, skipped = '0'] = /skipped=(\d+)/.exec(output) ?? []
  return Number(run) - Number(skipped)
}

/**
 * Parses Python files without running them, so also those that need PyTorch or a GPU.
 *
 * @param root - Folder to run in.
 * @param folders - Relative to it, each without the folders in it.
 * @returns How many files there are.
 * @throws Error with Python's output when one is no Python.
 */
export function parsePythonFiles(root: string, folders: readonly string[]): number {
  return Number(runPython(root, '-c', PARSE, ...folders))
}

function runPython(root: string, ...args: string[]): string {
  const { error, status, stdout, stderr } = startPython(root, ...args)
  if (error) throw error
  const output = `${stdout}${stderr}`
  if (status !== 0) throw new Error(output)
  return output
}

function findObstacle(): string | undefined {
  const { error, status } = startPython(
    '.',
    '-c',
    'import sys; sys.exit(sys.version_info < (3, 10))',
  )
  if (error !== undefined) return 'python3 is not installed'
  return status === 0 ? undefined : 'python3 is older than 3.10'
}

function startPython(root: string, ...args: string[]): SpawnSyncReturns<string> {
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: '1' }
  return spawnSync('python3', args, { cwd: root, encoding: 'utf8', env })
}
