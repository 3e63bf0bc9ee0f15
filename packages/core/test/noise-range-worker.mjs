/**
 * Compares the noise of the WebAssembly kernels with float64 over a range of bits. Plain JavaScript, so that worker
 * threads start it without a loader.
 */
import { parentPort, workerData } from 'node:worker_threads'

const { module, scheme, firstBits, count } = workerData
const CHUNK = 1 << 16

const memory = new WebAssembly.Memory({ initial: 8, maximum: 65535 })
const { exports } = await WebAssembly.instantiate(module, { env: { memory } })
const OUT = 65536
const noise = new Float32Array(memory.buffer, OUT, CHUNK)

let maxError = 0
let bitsOfMax = 0
for (let start = 0; start < count; start += CHUNK) {
  exports.fillNoise(OUT, (firstBits + start) | 0, CHUNK, scheme)
  for (let i = 0; i < CHUNK; i++) {
    const bits = firstBits + start + i
    let v = (bits + 0.5) * 2 ** -32
    if (scheme === 1) {
      const x = bits | 0
      v = Math.max((x < 0 ? -x - 1 : x) * 4.6566127342e-10, 4.6566127342e-10)
    }
    // A NaN compares false with everything: `!(error <= maxError)` keeps it.
    const error = Math.abs(noise[i] + Math.log(-Math.log1p(-v)))
    if (!(error <= maxError)) {
      maxError = error
      bitsOfMax = bits
    }
  }
}
parentPort.postMessage({ maxError, bitsOfMax })
