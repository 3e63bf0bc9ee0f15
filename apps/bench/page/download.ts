/**
 * Downloads with progress.
 *
 * @module
 */
import { messageOf, UserError } from '../src/ui/user-error.ts'

/**
 * Downloads a file of known length.
 *
 * @param address - Where it is.
 * @param name - What it is called in messages.
 * @param onProgress - Called with the bytes done and the bytes of the whole.
 * @returns The file.
 * @throws {UserError} when the server cannot be reached, refuses, or ends early.
 */
export async function download(
  address: string,
  name: string,
  onProgress: (done: number, total: number) => void,
): Promise<Blob> {
  const response = await fetch(address).catch((error: unknown) => {
    throw new UserError(
      `Cannot download ${name} as the server gives no answer (${messageOf(error)}): is it still running?`,
      { cause: error },
    )
  })
  if (!response.ok || response.body === null) {
    throw new UserError(`Cannot download ${name} as the server answers ${response.status}`)
  }
  const total = Number(response.headers.get('content-length') ?? 0)
  const chunks: Uint8Array<ArrayBuffer>[] = []
  let done = 0
  const reader = response.body.getReader()
  try {
    for (;;) {
      const chunk = await reader.read()
      if (chunk.done) break
      chunks.push(chunk.value)
      done += chunk.value.byteLength
      onProgress(done, Math.max(total, done))
    }
  } catch (error) {
    throw new UserError(
      `Cannot download ${name} as the connection ended after ${done} of ${total} bytes: try again`,
      { cause: error },
    )
  }
  return new Blob(chunks)
}
