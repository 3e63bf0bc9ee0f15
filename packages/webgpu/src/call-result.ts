/**
 * The result of a call: draws of its passes put to their rows.
 *
 * @module
 */
import { type RowParams, type SampleResult, throwRowErrors } from '@flashsampling/core'

/** Token ids that stand for a row without a result. */
export const TOKEN_STATUS = { invalid: -1, masked: -2, open: -3 } as const

/**
 * A result without draws.
 *
 * @param rows - Parameters of every row.
 * @returns The result, with room for every draw.
 */
export function emptyResult(rows: readonly RowParams[]): SampleResult {
  const rowOffsets = new Int32Array(rows.length + 1)
  rows.forEach((row, i) => {
    rowOffsets[i + 1] = (rowOffsets[i] as number) + row.numSamples
  })
  const numDraws = rowOffsets[rows.length] as number
  return {
    tokenIds: new Int32Array(numDraws),
    logprobs: new Float32Array(numDraws),
    rowOffsets,
    topLogprobs: new Array<null>(rows.length).fill(null),
    stats: { secondPassRows: 0, passes: 0, workspaceBytes: 0 },
  }
}

/**
 * Writes draws of a row; a greedy row repeats its one draw.
 *
 * @param result - The result.
 * @param params - Parameters of the row.
 * @param at - Place of the first of the draws.
 * @param tokenIds - Tokens drawn.
 * @param logprobs - Their log-probabilities.
 */
export function fill(
  result: SampleResult,
  params: RowParams,
  at: number,
  tokenIds: ArrayLike<number>,
  logprobs: ArrayLike<number>,
): void {
  const copies = params.temperature === 0 ? params.numSamples : tokenIds.length
  for (let draw = 0; draw < copies; draw++) {
    const from = Math.min(draw, tokenIds.length - 1)
    result.tokenIds[at + draw] = tokenIds[from] as number
    result.logprobs[at + draw] = logprobs[from] as number
  }
}

/**
 * Throws where rows have no valid draw.
 *
 * @param result - The result.
 * @throws {RowError} naming the rows.
 */
export function checkTokens({ tokenIds, rowOffsets }: SampleResult): void {
  const rowsWith = (status: number): number[] => {
    const found: number[] = []
    for (let row = 0; row + 1 < rowOffsets.length; row++) {
      if (tokenIds[rowOffsets[row] as number] === status) found.push(row)
    }
    return found
  }
  throwRowErrors({
    invalid: rowsWith(TOKEN_STATUS.invalid),
    masked: rowsWith(TOKEN_STATUS.masked),
  })
}
