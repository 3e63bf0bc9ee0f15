/**
 * The library's own contenders: the fused kernels, their plain TypeScript form, and an unfused two-step of the same
 * kernels.
 *
 * @module
 */
import { createCpuBackend, createSampler } from '@flashsampling/core'
import type {
  BenchHead,
  Contender,
  ContenderFamily,
  ContenderName,
  LoadedContenders,
} from './contender.ts'

/** Plain TypeScript multiplies about 1e9 weights a second: larger batches would take many seconds a call. */
const MAX_TYPESCRIPT_BATCH = 8

/** The library itself. */
export const flashsamplingFamily: ContenderFamily = {
  names: ['flashsampling', 'flashsampling-typescript', 'flashsampling-two-step'],
  versions: () => ({}),
  unavailableReason: () => null,
  supports: ({ name, threads, batchSize }) =>
    name !== 'flashsampling-typescript' || (threads === 1 && batchSize <= MAX_TYPESCRIPT_BATCH),
  load: async (head, wanted) => {
    const opened: (LoadedContenders & { contender: Contender })[] = []
    for (const { name, threads } of wanted) opened.push(await openContender(head, name, threads))
    return {
      contenders: opened.map(({ contender }) => contender),
      dispose: async () => {
        for (const { dispose } of opened) await dispose()
      },
    }
  },
}

async function openContender(
  head: BenchHead,
  name: ContenderName,
  threads: number,
): Promise<LoadedContenders & { contender: Contender }> {
  const backend = createCpuBackend({
    threads,
    kernels: name === 'flashsampling-typescript' ? 'typescript' : 'wasm',
    // One tile for each thread's share of the vocabulary: all logits are written, then all are read back and drawn
    // from. That is the unfused two-step, by the very kernels that the fused draw uses.
    tileVocab: name === 'flashsampling-two-step' ? Math.ceil(head.vocabSize / threads) : undefined,
  })
  const sampler = await createSampler({ lmHead: head, backend })
  let workspaceBytes = 0
  const contender: Contender = {
    name,
    threads,
    draw: async ({ hiddenStates, params }) => {
      const { tokenIds, stats } = await sampler.sample({ hiddenStates, params })
      workspaceBytes = stats.workspaceBytes
      return tokenIds
    },
    workspaceBytes: () => workspaceBytes,
  }
  return { contender, contenders: [contender], dispose: () => sampler.dispose() }
}
