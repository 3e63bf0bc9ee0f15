/**
 * The stage of a pass that decides filters from the tiles' lists and reports the most likely tokens.
 *
 * @module
 */
import type { EncodedCall, Task } from '../call-layout.ts'
import { ENTRY_WORDS, LIST_ENTRIES } from '../kernels.ts'
import { type PassRunner, whole } from '../pass-runner.ts'
import type { ListStage, Report } from '../sample-pass.ts'
import { mergeListsKernel } from './kernels.ts'

/** Number of tokens of a report that the lists do not hold. */
const REPORT_OPEN = 0xffff_ffff

/**
 * Compiles what a pass with lists needs.
 *
 * @param runner - The head.
 * @param tasks - Tasks of the pass.
 * @param call - The pass in words.
 * @param isRead - Whether reports are read back, where a task wants one.
 * @returns The stage; `null` where no task has a list.
 */
export async function prepareLists(
  runner: PassRunner,
  tasks: readonly Task[],
  { numLists, reportWords }: EncodedCall,
  isRead: boolean,
): Promise<ListStage | null> {
  if (numLists === 0) return null
  const { head, workspace, noiseScheme } = runner
  const kernel = await runner.compile(mergeListsKernel(head.tuning, noiseScheme))
  const reportBytes = numLists * reportWords * 4
  const readBytes = isRead && tasks.some(({ numReported }) => numReported > 0) ? reportBytes : 0
  return {
    listBytes: numLists * head.numTiles * LIST_ENTRIES * ENTRY_WORDS * 4,
    readBytes,
    merge(pass, ranges) {
      const reports = whole(workspace.get('reports', reportBytes))
      runner.dispatch(pass, kernel, [...ranges, reports], [numLists, 1])
    },
    copyReports(encoder, staging, at) {
      if (readBytes === 0) return
      const reports = workspace.get('reports', reportBytes)
      encoder.copyBufferToBuffer(reports, 0, staging, at, reportBytes)
    },
    readReports: (bytes) => (readBytes === 0 ? [] : readReports(bytes, numLists, reportWords)),
  }
}

function readReports(bytes: ArrayBuffer, numLists: number, reportWords: number): (Report | null)[] {
  const words = new Uint32Array(bytes)
  const values = new Float32Array(bytes)
  return Array.from({ length: numLists }, (_, list) => {
    const at = list * reportWords
    const count = words[at] as number
    if (count === REPORT_OPEN) return null
    const report: Report = { tokenIds: [], logprobs: [] }
    for (let i = 0; i < count; i++) {
      report.tokenIds.push(words[at + 1 + 2 * i] as number)
      report.logprobs.push(values[at + 2 + 2 * i] as number)
    }
    return report
  })
}
