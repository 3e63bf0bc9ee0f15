/**
 * Where downloads are kept.
 *
 * @module
 */
import { mkdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { messageOf, systemCodeOf, UserError } from '../ui/user-error.ts'

/**
 * Names the cache directory: `FLASHSAMPLING_CACHE_DIR`, else `flashsampling` in the user's cache directory
 * (`XDG_CACHE_HOME`, `LOCALAPPDATA` on Windows, else `~/.cache`), so that several clones share one download.
 *
 * @param env - Environment. @defaultValue process.env
 * @returns Absolute path; it need not exist.
 */
export function cacheDirectoryPath(env: NodeJS.ProcessEnv = process.env): string {
  const own = env.FLASHSAMPLING_CACHE_DIR
  if (own) return resolve(own)
  const base = env.XDG_CACHE_HOME || (process.platform === 'win32' && env.LOCALAPPDATA)
  return join(base || join(homedir(), '.cache'), 'flashsampling')
}

/**
 * Makes sure that the cache directory exists.
 *
 * @param path - Absolute path.
 * @returns The same path.
 * @throws {UserError} when it cannot be created; names the variable that moves it.
 */
export async function openCacheDirectory(path: string = cacheDirectoryPath()): Promise<string> {
  try {
    await makeDirectory(path)
    return path
  } catch (error) {
    throw new UserError(
      `Cannot create the cache directory ${path} (${messageOf(error)}): ` +
        'set FLASHSAMPLING_CACHE_DIR to a directory you can write to',
      { cause: error },
    )
  }
}

/** Node's own `recursive` never returns where a file system keeps answering ENOENT, as /proc does. */
async function makeDirectory(path: string, canMakeParent = true): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    const code = systemCodeOf(error)
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return
    if (code !== 'ENOENT' || !canMakeParent || dirname(path) === path) throw error
    await makeDirectory(dirname(path))
    await makeDirectory(path, false)
  }
}
