/**
 * Times one head through Dawn in this process, and prints a line of JSON for each message.
 *
 * @module
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describeDevice, openDevice } from './device.ts'
import type { HeadJob, Message } from './messages.ts'
import { createOrtContenders } from './ort-contenders.ts'
import { loadOrtInNode } from './ort-in-node.ts'
import { type ForeignContenders, timeHead } from './time-head.ts'

const DAWN_FLAGS = [
  // Dawn hides `shader-f16` of NVIDIA's driver without the second one.
  'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia',
  // Timestamps as they are: Dawn rounds them to 0.1 ms otherwise.
  'disable-dawn-features=timestamp_quantization',
]

/** The npm package `webgpu`. */
interface DawnModule {
  create(flags: string[]): GPU
  /** Classes and constants that a browser has as globals. */
  globals: object
}

/**
 * Runs a job.
 *
 * @param job - The head; `null` describes the adapter alone.
 */
export async function runNodeJob(job: HeadJob | null): Promise<void> {
  const emit = (message: Message): void => console.log(JSON.stringify(message))
  const name = process.env.FLASHSAMPLING_DAWN ?? 'webgpu'
  const { create, globals } = (await import(name)) as DawnModule
  const gpu = create(DAWN_FLAGS)
  // It must outlive its devices, and garbage collection is not told: docs/findings/dawn-in-node.md.
  Object.assign(globalThis, { dawn: gpu })
  const device = await openDevice(gpu)
  void device.lost.then(({ reason, message }) => {
    if (reason !== 'destroyed') console.error(`device lost: ${message}`)
  })
  device.addEventListener('uncapturederror', (event) => {
    console.error((event as GPUUncapturedErrorEvent).error.message)
  })
  const { node, v8 } = process.versions
  const versions = { node, v8, ...versionOfDawn(name) }
  emit({ kind: 'adapter', adapter: describeDevice(device), versions })
  if (job !== null) {
    let engine: Promise<ForeignContenders> | undefined
    const foreign: ForeignContenders = async (contender, context) => {
      engine ??= loadOrtInNode(gpu, device, globals).then((ort) => {
        emit({ kind: 'versions', versions: { 'onnxruntime-web': ort.env.versions.web as string } })
        return createOrtContenders(ort)
      })
      return (await engine)(contender, context)
    }
    await timeHead({ device, job, foreign, emit })
  }
  emit({ kind: 'done' })
  // Dawn keeps threads.
  process.exit(0)
}

/** Version of the npm package, where it is one. */
function versionOfDawn(name: string): Record<string, string> {
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    const manifest = readFileSync(join(dirname(entry), 'package.json'), 'utf8')
    return { webgpu: (JSON.parse(manifest) as { version: string }).version }
  } catch {
    return {}
  }
}
