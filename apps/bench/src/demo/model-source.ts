/**
 * Where the bytes of a model come from: a file on disk, or a blob that a browser's user chose.
 *
 * @module
 */
import { UserError } from '../ui/user-error.ts'

/** Random access to the bytes of a model file. */
export interface ModelSource {
  /** Path or file name, for messages. */
  readonly name: string
  /** Size, bytes. */
  readonly byteLength: number
  /**
   * Reads bytes.
   *
   * @param start - First byte.
   * @param end - Behind the last byte; bytes behind the end of the source are left out.
   * @returns The bytes, in memory of their own.
   * @throws {RangeError} when there is not enough memory.
   */
  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>>
  /** Closes the source; nothing can be read afterwards. */
  close(): Promise<void>
}

/** Browsers give at most 2 GiB of a file at a time; smaller pieces hold less memory twice. */
const PIECE_BYTES = 64 * 2 ** 20

/**
 * Reads a model from a blob: a file that the user chose, or a download.
 *
 * @param blob - The bytes.
 * @param name - Name of the file, for messages.
 * @returns The source; closing it does nothing.
 */
export function blobSource(blob: Blob, name: string): ModelSource {
  return {
    name,
    byteLength: blob.size,
    read: async (start, end) => {
      const bytes = new Uint8Array(Math.max(0, Math.min(end, blob.size) - start))
      for (let done = 0; done < bytes.byteLength; done += PIECE_BYTES) {
        const pieceEnd = Math.min(done + PIECE_BYTES, bytes.byteLength)
        try {
          const piece = await blob.slice(start + done, start + pieceEnd).arrayBuffer()
          bytes.set(new Uint8Array(piece), done)
        } catch (error) {
          // Browsers refuse files that were changed, moved or removed after they were chosen.
          throw new UserError(`Cannot read ${name} (${String(error)}): choose the file again`, {
            cause: error,
          })
        }
      }
      return bytes
    },
    close: async () => {},
  }
}
