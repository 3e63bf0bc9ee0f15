/**
 * Folders for files that a command writes.
 *
 * @module
 */
import { mkdir } from 'node:fs/promises'
import { messageOf, UserError } from './user-error.ts'

/**
 * Makes a folder and those above it, where they do not exist.
 *
 * @param folder - Path of the folder.
 * @throws {UserError} when it cannot be made.
 */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    const reason = messageOf(cause)
    throw new UserError(`Cannot write into ${folder} (${reason}): give a folder that can be made`, {
      cause,
    })
  })
}
