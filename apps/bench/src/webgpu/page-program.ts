/**
 * Times one head in a page of a browser.
 *
 * @module
 */
import type * as Ort from 'onnxruntime-web'
import { describeDevice, openDevice } from './device.ts'
import type { HeadJob, Message } from './messages.ts'
import { createOrtContenders } from './ort-contenders.ts'
import { timeHead } from './time-head.ts'

/** What the page is told. */
export interface PageJob {
  /** The head; `null` describes the adapter alone. */
  job: HeadJob | null
  /** Folder of onnxruntime-web, ends with a slash. */
  ortFolder: string
}

/**
 * Runs a job.
 *
 * @param options - Job and engine.
 * @param emit - Takes what is found.
 */
export async function runPageJob(
  { job, ortFolder }: PageJob,
  emit: (message: Message) => void,
): Promise<void> {
  const device = await openDevice(navigator.gpu)
  device.addEventListener('uncapturederror', (event) => console.error(event.error.message))
  const ort = (await import(`${ortFolder}ort.webgpu.bundle.min.mjs`)) as typeof Ort
  ort.env.wasm.wasmPaths = ortFolder
  ort.env.wasm.numThreads = 1
  ort.env.logLevel = 'error'
  const versions = { 'onnxruntime-web': ort.env.versions.web as string }
  emit({ kind: 'adapter', adapter: describeDevice(device), versions })
  if (job !== null) await timeHead({ device, job, foreign: createOrtContenders(ort), emit })
  device.destroy()
}
