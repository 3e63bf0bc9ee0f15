/**
 * Model files on disk.
 *
 * @module
 */
import { open } from 'node:fs/promises'
import { messageOf, systemCodeOf, UserError } from '../ui/user-error.ts'
import { GgufFile } from './gguf-file.ts'
import type { ModelSource } from './model-source.ts'

/**
 * Opens a file as the source of a model.
 *
 * @param path - Path of the file.
 * @returns The source, owned by the caller.
 * @throws {UserError} when there is no such file, or it cannot be read.
 */
export async function openFileSource(path: string): Promise<ModelSource> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    const reason = systemCodeOf(error) === 'ENOENT' ? 'there is no such file' : messageOf(error)
    throw new UserError(`Cannot open the model ${path} as ${reason}: check the path`, {
      cause: error,
    })
  })
  const info = await handle.stat()
  if (!info.isFile()) {
    await handle.close()
    throw new UserError(`Cannot open the model ${path} as it is no file: name a .gguf file`)
  }
  return {
    name: path,
    byteLength: info.size,
    read: async (start, end) => {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, info.size) - start))
      let done = 0
      while (done < bytes.byteLength) {
        const { bytesRead } = await handle.read(bytes, done, bytes.byteLength - done, start + done)
        if (bytesRead === 0) break
        done += bytesRead
      }
      return bytes.subarray(0, done)
    },
    close: () => handle.close(),
  }
}

/**
 * Opens a GGUF file on disk.
 *
 * @param path - Path of the file.
 * @returns The open file, owned by the caller.
 * @throws {UserError} as {@link openFileSource} and {@link GgufFile.open} do.
 */
export async function openGgufFile(path: string): Promise<GgufFile> {
  return GgufFile.open(await openFileSource(path))
}
