/**
 * onnxruntime-web on Dawn in Node, where it does not run by itself.
 *
 * @module
 */
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type * as Ort from 'onnxruntime-web'

const MODULE = 'ort.webgpu.bundle.min.mjs'
const BINARY = 'ort-wasm-simd-threaded.asyncify.wasm'

/**
 * Loads the engine: out of a folder `ort` beside this program, or the installed package.
 *
 * @param gpu - Dawn's entry point, which becomes that of `navigator`.
 * @param device - Any of its devices.
 * @param globals - Its classes and constants, which become global.
 * @returns The module.
 */
export async function loadOrtInNode(
  gpu: GPU,
  device: GPUDevice,
  globals: object,
): Promise<typeof Ort> {
  const beside = fileURLToPath(new URL('./ort/', import.meta.url))
  const folder = existsSync(join(beside, MODULE))
    ? beside
    : dirname(createRequire(import.meta.url).resolve('onnxruntime-web/webgpu'))
  const navigator = { gpu, userAgent: 'node', hardwareConcurrency: 1 }
  Object.defineProperty(globalThis, 'navigator', { value: navigator, configurable: true })
  Object.assign(globalThis, globals)
  acceptSharedMemory(device)
  const ort = (await import(pathToFileURL(join(folder, MODULE)).href)) as typeof Ort
  ort.env.logLevel = 'error'
  ort.env.wasm.numThreads = 1
  // Node fetches no files.
  ort.env.wasm.wasmBinary = new Uint8Array(readFileSync(join(folder, BINARY))).buffer
  return ort
}

/**
 * Dawn in Node refuses views of shared memory (*Invalid argument*), which the engine's memory is: they are copied
 * first. What the engine writes in a call is small, since hidden states are on the device already.
 */
function acceptSharedMemory(device: GPUDevice): void {
  const queues = Object.getPrototypeOf(device.queue) as GPUQueue
  const { writeBuffer } = queues
  queues.writeBuffer = function (buffer, offset, data, dataOffset = 0, size) {
    const isView = ArrayBuffer.isView(data)
    const memory = isView ? data.buffer : data
    if (!(memory instanceof SharedArrayBuffer)) {
      return writeBuffer.call(this, buffer, offset, data, dataOffset, size)
    }
    // Offsets of views count elements, those of memory bytes.
    const width = isView && 'BYTES_PER_ELEMENT' in data ? (data.BYTES_PER_ELEMENT as number) : 1
    const start = (isView ? data.byteOffset : 0) + dataOffset * width
    const end =
      size === undefined ? start - dataOffset * width + data.byteLength : start + size * width
    // A slice of shared memory would be shared again.
    const copy = Uint8Array.from(new Uint8Array(memory, start, end - start))
    return writeBuffer.call(this, buffer, offset, copy)
  }
}
