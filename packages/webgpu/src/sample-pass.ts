/**
 * The pass that draws: one dispatch for each piece of the head and one to merge; one more for rows with lists.
 *
 * @module
 */

import type { BufferRange } from './buffer-range.ts'
import type { DestinationWords, EncodedCall, Task } from './call-layout.ts'
import { mergeSampleKernel, tileSampleKernel } from './kernels.ts'
import { type PassRunner, type RowSource, whole } from './pass-runner.ts'

/** Where token ids go. */
export interface Destination extends DestinationWords {
  range: BufferRange
}

/** What of a pass's draws is read back: nothing, token ids, or also log-probabilities and reports. */
export type ReadPlanes = 0 | 1 | 2

/** Draws of a pass, as far as they were read back. */
export interface PassResult {
  /** One entry a draw; negative where the row has no result, see `TOKEN_STATUS`. */
  tokenIds: Int32Array
  logprobs: Float32Array
  /** One entry a list; `null` where the lists hold too little. */
  reports: (Report | null)[]
}

/** The most likely tokens of a task. */
export interface Report {
  tokenIds: number[]
  logprobs: number[]
}

/** What a pass that draws does for its lists. */
export interface ListStage {
  /** Memory of the tiles' lists. */
  listBytes: number
  /** Reports to read back. */
  readBytes: number
  /** Adds the dispatch; ranges are the bindings of the merge of winners, then the lists. */
  merge(pass: GPUComputePassEncoder, ranges: readonly BufferRange[]): void
  /** Copies the reports, to a place in the buffer that is read back. */
  copyReports(encoder: GPUCommandEncoder, staging: GPUBuffer, at: number): void
  /** Reports of what was read back, one a list; `null` where the lists hold too little. */
  readReports(bytes: ArrayBuffer): (Report | null)[]
}

/** Compiles what a pass with lists needs; gives `null` where no task has a list. */
export type PrepareLists = (
  runner: PassRunner,
  tasks: readonly Task[],
  call: EncodedCall,
  isRead: boolean,
) => Promise<ListStage | null>

/** How a pass draws. */
export interface SamplePassOptions {
  planes: ReadPlanes
  /** Where token ids go beside. */
  destination: Destination | null
  /** That of `ranking/`; needed where a task is listed. */
  prepareLists: PrepareLists | null
  /** How often to draw the same, for measurements. @defaultValue 1 */
  repeats?: number
  /** Where the times of the pass go, for measurements. */
  timestampWrites?: GPUComputePassTimestampWrites
}

/**
 * Draws.
 *
 * @param runner - The head.
 * @param tasks - Rows with their draws.
 * @param rows - Hidden states or logits that the tasks' rows point into.
 * @param options - What to read back, where token ids go beside.
 * @returns What was read back.
 */
export async function runSamplePass(
  runner: PassRunner,
  tasks: readonly Task[],
  rows: RowSource,
  { planes, destination, prepareLists, repeats = 1, timestampWrites }: SamplePassOptions,
): Promise<PassResult> {
  const { workspace } = runner
  const { numTiles, tuning } = runner.head
  const call = runner.encode(tasks, rows, destination ?? undefined)
  const { numSlots, numLists } = call
  const [tiles, mergeSample, lists] = await Promise.all([
    runner.compileTiles(tasks, rows, numLists > 0, tileSampleKernel),
    runner.compile(mergeSampleKernel(tuning)),
    prepareLists === null ? null : prepareLists(runner, tasks, call, planes === 2),
  ])
  const sizes = {
    candidates: numSlots * numTiles * 16,
    masses: tasks.length * numTiles * 16,
    lists: lists?.listBytes ?? 0,
    results: numSlots * 24,
  }
  const planeBytes = numSlots * 4
  const drawBytes = planes * planeBytes
  const reportBytes = lists?.readBytes ?? 0
  const allocated = Object.values(sizes).reduce((sum, size) => sum + size, reportBytes)
  const bytes = await runner.run(allocated, drawBytes + reportBytes, (encoder, staging) => {
    const callRange = runner.writeCall(call)
    const [candidates, masses, listed, results] = (
      ['candidates', 'masses', 'lists', 'results'] as const
    ).map((name) => whole(workspace.get(name, sizes[name]))) as FourRanges
    const hidden = runner.placeRows(encoder, rows)
    const pass = encoder.beginComputePass({
      label: 'flashsampling sample',
      ...(timestampWrites && { timestampWrites }),
    })
    // Without a destination, something must be bound in its place that nothing else of the kernel uses.
    const memory = destination?.range ?? whole(workspace.get('unused', 16))
    const merged = [callRange, candidates, masses, results, memory]
    for (let repeat = 0; repeat < repeats; repeat++) {
      runner.dispatchTiles(pass, tiles, callRange, hidden, [candidates, masses, listed])
      if (numSlots > 0) runner.dispatch(pass, mergeSample, merged, [numSlots, 1])
      lists?.merge(pass, [...merged, listed])
    }
    pass.end()
    if (staging === null) return
    if (drawBytes > 0) encoder.copyBufferToBuffer(results.buffer, 0, staging, 0, drawBytes)
    lists?.copyReports(encoder, staging, drawBytes)
  })
  const plane = (index: number): ArrayBuffer =>
    bytes.slice(index * planeBytes, index < planes ? (index + 1) * planeBytes : 0)
  return {
    tokenIds: new Int32Array(plane(0)),
    logprobs: new Float32Array(plane(1)),
    reports: lists?.readReports(bytes.slice(drawBytes)) ?? [],
  }
}

type FourRanges = [BufferRange, BufferRange, BufferRange, BufferRange]
