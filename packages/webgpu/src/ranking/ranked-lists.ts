/**
 * What a pass with lists left on the GPU: lists, masses and best scores.
 *
 * @module
 */
import { ENTRY_WORDS, LIST_ENTRIES } from '../kernels.ts'
import type { PassRunner } from '../pass-runner.ts'

/** The token with the best score of each draw, whether or not it passes the filters. */
export interface BestScores {
  logits: Float32Array
  rawLogits: Float32Array
  scores: Float32Array
  tokenIds: Int32Array
}

/** A listed token. */
export interface GpuListEntry {
  logit: number
  tokenId: number
  rawLogit: number
}

/** Lowest finite fp32 value: what the kernels write for a token that cannot be drawn. */
const DEAD = -3.4028234663852886e38

/**
 * Reads the best scores of the pass before this call.
 *
 * @param runner - The head.
 * @param numSlots - Draws of that pass.
 * @returns One entry a draw.
 */
export async function readBest(runner: PassRunner, numSlots: number): Promise<BestScores> {
  const planeBytes = numSlots * 4
  const readBytes = 4 * planeBytes
  const bytes = await runner.run(0, readBytes, (encoder, staging) => {
    const results = runner.workspace.get('results', numSlots * 24)
    encoder.copyBufferToBuffer(results, 2 * planeBytes, staging as GPUBuffer, 0, readBytes)
  })
  const plane = (index: number): ArrayBuffer =>
    bytes.slice(index * planeBytes, (index + 1) * planeBytes)
  return {
    logits: new Float32Array(plane(0)),
    rawLogits: new Float32Array(plane(1)),
    scores: new Float32Array(plane(2)),
    tokenIds: new Int32Array(plane(3)),
  }
}

/**
 * Reads masses and lists of the pass before this call.
 *
 * @param runner - The head.
 * @param numTasks - Tasks of that pass.
 * @param numLists - Lists of that pass.
 * @returns Per task its log-mass; per list the listed tokens of each tile.
 */
export async function readLists(
  runner: PassRunner,
  numTasks: number,
  numLists: number,
): Promise<{ masses: { max: number; logMass: number }[]; lists: GpuListEntry[][][] }> {
  const { workspace } = runner
  const { numTiles } = runner.head
  const massBytes = numTasks * numTiles * 16
  const listBytes = numLists * numTiles * LIST_ENTRIES * ENTRY_WORDS * 4
  const readBytes = massBytes + listBytes
  const bytes = await runner.run(readBytes, readBytes, (encoder, staging) => {
    if (staging === null) return
    encoder.copyBufferToBuffer(workspace.get('masses', massBytes), 0, staging, 0, massBytes)
    if (listBytes === 0) return
    const lists = workspace.get('lists', listBytes)
    encoder.copyBufferToBuffer(lists, 0, staging, massBytes, listBytes)
  })
  const values = new Float32Array(bytes)
  const words = new Uint32Array(bytes)
  const masses = Array.from({ length: numTasks }, (_, task) =>
    mergeMasses(values.subarray(task * numTiles * 4, (task + 1) * numTiles * 4)),
  )
  const lists = Array.from({ length: numLists }, (_, list) =>
    Array.from({ length: numTiles }, (_, tile) => {
      const at = massBytes / 4 + (list * numTiles + tile) * LIST_ENTRIES * ENTRY_WORDS
      return readEntries(values, words, at, LIST_ENTRIES)
    }),
  )
  return { masses, lists }
}

/**
 * Reads listed tokens up to the first that cannot be drawn.
 *
 * @param values - Memory as fp32.
 * @param words - The same memory as words.
 * @param at - First word.
 * @param count - Most tokens.
 * @returns The tokens.
 */
export function readEntries(
  values: Float32Array,
  words: Uint32Array,
  at: number,
  count: number,
): GpuListEntry[] {
  const entries: GpuListEntry[] = []
  for (let i = 0; i < count; i++) {
    const word = at + i * ENTRY_WORDS
    const logit = values[word] as number
    if (logit <= DEAD) break
    const tokenId = words[word + 1] as number
    entries.push({ logit, tokenId, rawLogit: values[word + 2] as number })
  }
  return entries
}

/** Maximum and log-sum-exp of tiles. */
function mergeMasses(tiles: Float32Array): { max: number; logMass: number } {
  let max = -Infinity
  for (let i = 0; i < tiles.length; i += 4) {
    const highest = tiles[i] as number
    if (highest > DEAD) max = Math.max(max, highest)
  }
  let sum = 0
  for (let i = 0; i < tiles.length; i += 4) {
    const highest = tiles[i] as number
    if (highest > DEAD) sum += (tiles[i + 1] as number) * Math.exp(highest - max)
  }
  return { max, logMass: max + Math.log(sum) }
}
