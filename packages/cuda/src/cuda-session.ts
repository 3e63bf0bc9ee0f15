/**
 * A head on a GPU: turns checked rows into calls of the addon and their results into tokens.
 *
 * @module
 */
import {
  type BackendSession,
  invalidArgument,
  type LogprobsMode,
  type RowBatch,
  type RowParams,
  type SampleResult,
  throwRowErrors,
} from '@flashsampling/core'
import {
  type NativeBuffer,
  type NativeSampleCall,
  type NativeSampleResult,
  type NativeSession,
  ROW_STATUS,
} from './addon-types.ts'
import { translateRejections } from './native-error.ts'

/** Rows of one call of the addon; larger batches take several. */
const MAX_CALL_ROWS = 1024

/** Biases travel as one dense row for each row that has its own: this bounds their memory, bytes. */
const MAX_BIAS_BYTES = 64 * 2 ** 20

/** Temperatures below act as this one, so that the division cannot overflow; the kernels hold to the same. */
const SMALLEST_TEMPERATURE = 2 ** -60

const LARGEST_F32 = (2 - 2 ** -23) * 2 ** 127

/** Session of the CUDA backend. */
export class CudaSession implements BackendSession {
  readonly #native: NativeSession
  /** Weights that were uploaded for this session. */
  readonly #owned: readonly NativeBuffer[]
  readonly #hiddenSize: number
  readonly #vocabSize: number

  constructor(
    native: NativeSession,
    owned: readonly NativeBuffer[],
    hiddenSize: number,
    vocabSize: number,
  ) {
    this.#native = native
    this.#owned = owned
    this.#hiddenSize = hiddenSize
    this.#vocabSize = vocabSize
  }

  async sample(batch: RowBatch): Promise<SampleResult> {
    const rowOffsets = new Int32Array(batch.batchSize + 1)
    batch.rows.forEach((row, i) => {
      rowOffsets[i + 1] = (rowOffsets[i] as number) + row.numSamples
    })
    const numDraws = rowOffsets[batch.batchSize] as number
    const result: SampleResult = {
      tokenIds: new Int32Array(numDraws),
      logprobs: new Float32Array(numDraws),
      rowOffsets,
      topLogprobs: new Array<null>(batch.batchSize).fill(null),
      stats: { secondPassRows: 0, passes: 0, workspaceBytes: 0 },
    }
    const statuses = new Int32Array(batch.batchSize)
    for (const rows of this.#planCalls(batch.rows)) {
      const call = this.#makeCall(batch, rows)
      const drawn = await translateRejections(async () => this.#native.sample(call))
      collect(drawn, call, rows, result, statuses)
      result.stats.passes += 1
      result.stats.workspaceBytes = drawn.workspaceBytes
    }
    checkStatuses(statuses, batch.rows)
    return result
  }

  async dispose(): Promise<void> {
    this.#native.dispose()
    for (const buffer of this.#owned) buffer.dispose()
  }

  /** Rows of each call: those of one call share their mode of log-probabilities, and their biases fit the memory. */
  #planCalls(rows: readonly RowParams[]): number[][] {
    const byMode: Record<LogprobsMode, number[]> = { transformed: [], raw: [] }
    rows.forEach((row, i) => {
      byMode[row.logprobsMode].push(i)
    })
    const calls: number[][] = []
    for (const group of [byMode.transformed, byMode.raw]) {
      const members = group.map((i) => rows[i] as RowParams)
      const maxRows = haveSameEdits(members)
        ? MAX_CALL_ROWS
        : Math.max(1, Math.min(MAX_CALL_ROWS, Math.floor(MAX_BIAS_BYTES / (4 * this.#vocabSize))))
      for (let start = 0; start < group.length; start += maxRows) {
        calls.push(group.slice(start, start + maxRows))
      }
    }
    return calls
  }

  #makeCall(batch: RowBatch, indices: readonly number[]): NativeSampleCall {
    const rows = indices.map((i) => batch.rows[i] as RowParams)
    return {
      batchSize: rows.length,
      maxNumSamples: rows.reduce((most, row) => Math.max(most, row.numSamples), 1),
      logprobsMode: rows[0]?.logprobsMode === 'raw' ? 1 : 0,
      hiddenStates: this.#hiddenStatesOf(batch, indices),
      temperature: Float32Array.from(rows, ({ temperature }) => narrowTemperature(temperature)),
      seed: BigUint64Array.from(rows, ({ seed }) => seed),
      position: BigUint64Array.from(rows, ({ position }) => position),
      drawIndex: Uint32Array.from(rows, ({ drawIndex }) => drawIndex),
      numSamples: Uint32Array.from(rows, ({ numSamples }) => numSamples),
      ...masksOf(rows, Math.ceil(this.#vocabSize / 32)),
      ...biasesOf(rows),
    }
  }

  #hiddenStatesOf(batch: RowBatch, indices: readonly number[]): Float32Array {
    if (indices.length === batch.batchSize) return batch.hiddenStates
    const size = this.#hiddenSize
    const selected = new Float32Array(indices.length * size)
    indices.forEach((row, i) => {
      selected.set(batch.hiddenStates.subarray(row * size, (row + 1) * size), i * size)
    })
    return selected
  }
}

function narrowTemperature(temperature: number): number {
  if (temperature === 0) return 0
  return Math.min(Math.max(temperature, SMALLEST_TEMPERATURE), LARGEST_F32)
}

function haveSameEdits(rows: readonly RowParams[]): boolean {
  const first = rows[0]?.edits
  return rows.every(({ edits }) => edits === first || (edits.length === 0 && first?.length === 0))
}

function masksOf(
  rows: readonly RowParams[],
  numWords: number,
): Pick<NativeSampleCall, 'numMasks' | 'allowedTokens'> {
  const first = rows[0]?.allowedMask ?? null
  if (rows.every(({ allowedMask }) => allowedMask === first)) {
    return { numMasks: first === null ? 0 : 1, allowedTokens: first }
  }
  const words = new Int32Array(rows.length * numWords)
  rows.forEach(({ allowedMask }, i) => {
    if (allowedMask === null) words.fill(-1, i * numWords, (i + 1) * numWords)
    else words.set(allowedMask, i * numWords)
  })
  return { numMasks: rows.length, allowedTokens: words }
}

function biasesOf(
  rows: readonly RowParams[],
): Pick<NativeSampleCall, 'numBiases' | 'biasOffsets' | 'biasTokenIds' | 'biasValues'> {
  const sources = haveSameEdits(rows) ? rows.slice(0, 1) : rows
  const lists = sources.map(({ edits }) => edits.filter(({ bias }) => bias !== 0))
  if (lists.every((list) => list.length === 0)) {
    return { numBiases: 0, biasOffsets: null, biasTokenIds: null, biasValues: null }
  }
  const all = lists.flat()
  const offsets = new Uint32Array(lists.length + 1)
  lists.forEach((list, i) => {
    offsets[i + 1] = (offsets[i] as number) + list.length
  })
  return {
    numBiases: lists.length,
    biasOffsets: offsets,
    biasTokenIds: Uint32Array.from(all, ({ tokenId }) => tokenId),
    // Finite biases stay finite in fp32; -Infinity stays what it is.
    biasValues: Float32Array.from(all, ({ bias }) =>
      bias === -Infinity ? bias : Math.max(-LARGEST_F32, Math.min(LARGEST_F32, bias)),
    ),
  }
}

/** Puts the rows of one call to their places in the batch. */
function collect(
  drawn: NativeSampleResult,
  call: NativeSampleCall,
  rows: readonly number[],
  result: SampleResult,
  statuses: Int32Array,
): void {
  rows.forEach((row, i) => {
    const from = i * call.maxNumSamples
    const to = from + (call.numSamples[i] as number)
    const start = result.rowOffsets[row] as number
    result.tokenIds.set(drawn.tokenIds.subarray(from, to), start)
    result.logprobs.set(drawn.logprobs.subarray(from, to), start)
    statuses[row] = drawn.rowStatus[i] as number
  })
}

function checkStatuses(statuses: Int32Array, rows: readonly RowParams[]): void {
  const withStatus = (wanted: number): number[] =>
    [...statuses.keys()].filter((row) => statuses[row] === wanted)
  throwRowErrors(
    {
      invalid: withStatus(ROW_STATUS.invalidLogits),
      masked: withStatus(ROW_STATUS.allTokensMasked),
    },
    { remedy: 'check the hidden states and the weights, and that both fit the dtype of the head' },
  )
  const [wrong] = withStatus(ROW_STATUS.invalidParameters)
  if (wrong !== undefined) {
    const { temperature } = rows[wrong] as RowParams
    throw invalidArgument('sample tokens', `params[${wrong}].temperature`, '>= 0', temperature)
  }
}
