/**
 * Heavy contenders live in a folder of their own and are installed only on demand.
 *
 * @module
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { UserError } from '../ui/user-error.ts'

/** What a user does about a contender that is not installed. */
export const INSTALL_HINT =
  'run the same command with --install-contenders, which installs it into apps/bench/contenders'

/**
 * Finds the folder that heavy contenders are installed into.
 *
 * @returns Absolute path of `apps/bench/contenders`.
 * @throws {UserError} when it does not exist, as in an installed package.
 */
export function contendersFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    const candidate = join(folder, 'contenders')
    if (existsSync(join(candidate, 'package-lock.json'))) return candidate
    if (dirname(folder) === folder) {
      throw new UserError(
        'Cannot find apps/bench/contenders: run the benchmark from a clone of the repository',
      )
    }
    folder = dirname(folder)
  }
}

/**
 * Installs the locked versions of the heavy contenders with npm, without their install scripts.
 *
 * @throws {UserError} when npm fails; holds its output.
 */
export async function installContenders(): Promise<void> {
  const folder = contendersFolder()
  // Inherited npm settings of an outer `npm run` would name another project.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith('npm_')),
  )
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const child = spawn('npm', args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const output: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (cause) =>
      reject(new UserError(`Cannot start npm: ${cause.message}`, { cause })),
    )
    child.on('close', resolve)
  })
  if (code !== 0) {
    throw new UserError(
      `Cannot install the contenders as npm ended with exit code ${code}: check the network, or leave ` +
        `--install-contenders out to run without them\n${Buffer.concat(output).toString().trim()}`,
    )
  }
}
