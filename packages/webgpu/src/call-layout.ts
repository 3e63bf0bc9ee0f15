/**
 * The words of one call as the kernels read them: `src/shaders/include/tasks.wgsl` has the same layout.
 *
 * @module
 */
import {
  deriveRowKey,
  type NoiseScheme,
  type RankPosition,
  type RowParams,
} from '@flashsampling/core'

/** What the kernels do for one row: transforms, draws, masses and lists. */
export interface Task {
  /** Row of the hidden states or logits. */
  row: number
  params: RowParams
  /** Neither bias, penalties, mask nor temperature: for log-probabilities of raw logits. */
  isRaw: boolean
  /** Draws; 0 where only mass and list are wanted. */
  numDraws: number
  /** Task whose mass the log-probabilities refer to. */
  massTask: number
  /** Whether topK, topP or minP decide what may be drawn; needs `isListed`. */
  isFiltered: boolean
  /** Whether each tile lists its best tokens by logit. */
  isListed: boolean
  /** Most likely tokens to report, at most LIST_CAPACITY; needs `isListed`. */
  numReported: number
  /** Last token in rank order that may be drawn or is gathered; the unit of mass of a rank pass. */
  boundary: RankPosition | null
  /** Positions between which a rank pass counts, in rank order. */
  pivots: readonly RankPosition[]
}

/** Where token ids go beside the results. */
export interface DestinationWords {
  /** 0 without any, 1 for i32, 2 for i64. */
  words: 0 | 1 | 2
  /** First word. */
  at: number
}

/** A call in words. */
export interface EncodedCall {
  words: Uint32Array
  numSlots: number
  numLists: number
  /** Words of a list's report. */
  reportWords: number
}

const HEADER_WORDS = 12
const TASK_WORDS = 20
const SLOT_WORDS = 4
const EDIT_WORDS = 4

const FLAG_GREEDY = 1
const FLAG_MASK = 2
const FLAG_BOUNDARY = 4
const FLAG_RAW = 8
const FLAG_FILTERED = 16

const NO_LIST = 0xffff_ffff
const MAX_F32 = 3.4028234663852886e38
/** Just inside the range, so that no token is taken for one that cannot be drawn. */
const MAX_LOGIT = 3.4e38
/** Quotients by a temperature below 1 are crowded from here on (shaders/include/transform.wgsl). */
const CROWDED = 2 ** 108
/** Temperatures below act as this one, so that the division cannot overflow. */
const SMALLEST_TEMPERATURE = 2 ** -60

const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)

function bitsOf(value: number): number {
  f32[0] = value
  return u32[0] as number
}

/**
 * Writes a call.
 *
 * @param tasks - What is to be done, in order.
 * @param options - Tiles of the head, noise scheme, destination and place of the rows.
 * @returns The words, and how many draws and lists the tasks have.
 */
export function encodeCall(
  tasks: readonly Task[],
  options: {
    numTiles: number
    noiseScheme: NoiseScheme
    destination: DestinationWords
    /** First element of a row in its buffer. */
    rowStart(row: number): number
  },
): EncodedCall {
  const numSlots = tasks.reduce((sum, task) => sum + task.numDraws, 0)
  const tasksAt = HEADER_WORDS
  const slotsAt = tasksAt + tasks.length * TASK_WORDS
  const listsAt = slotsAt + numSlots * SLOT_WORDS
  const numLists = tasks.filter(({ isListed }) => isListed).length
  const extra = new ExtraWords(listsAt + numLists)
  const places = tasks.map((task) => extra.place(task))
  const words = new Uint32Array(extra.end)
  const { words: destinationWords, at: destinationAt } = options.destination
  const maxSlots = tasks.reduce((most, task) => Math.max(most, task.numDraws), 0)
  words.set([tasks.length, maxSlots, tasksAt, slotsAt, options.numTiles, numSlots])
  const reportWords = 1 + 2 * tasks.reduce((most, task) => Math.max(most, task.numReported), 0)
  words.set([destinationWords, destinationAt, listsAt, reportWords], 6)
  let slot = 0
  let list = 0
  tasks.forEach((task, index) => {
    const { params, boundary } = task
    const { mask, edits, pivots } = places[index] as Place
    const numEdits = task.isRaw ? 0 : params.edits.length
    const temperature = Math.fround(Math.max(params.temperature, SMALLEST_TEMPERATURE))
    const factor = task.isRaw || params.temperature === 0 ? 1 : Math.fround(1 / temperature)
    let flags = params.temperature === 0 ? FLAG_GREEDY : 0
    if (mask !== 0) flags |= FLAG_MASK
    if (boundary !== null) flags |= FLAG_BOUNDARY
    if (params.logprobsMode === 'raw') flags |= FLAG_RAW
    if (task.isFiltered) flags |= FLAG_FILTERED
    if (task.isListed) words[listsAt + list] = index
    words.set(
      [
        ...[
          options.rowStart(task.row),
          flags,
          bitsOf(factor),
          bitsOf(factor > 1 ? Math.min(CROWDED / factor, MAX_LOGIT) : MAX_LOGIT),
        ],
        ...[mask, edits, numEdits, slot, task.numDraws, task.massTask],
        ...[task.isListed ? list++ : NO_LIST, params.topK, bitsOf(params.topP)],
        bitsOf(params.minP > 0 ? Math.log(params.minP) : -MAX_F32),
        ...[bitsOf(boundary?.logit ?? 0), boundary?.tokenId ?? 0, pivots, task.pivots.length],
        task.numReported,
      ],
      tasksAt + index * TASK_WORDS,
    )
    for (let draw = 0; draw < task.numDraws; draw++, slot++) {
      const drawIndex = params.drawIndex + draw
      const key = deriveRowKey({ ...params, drawIndex }, 0, options.noiseScheme)
      words.set([...key, index, 0], slotsAt + slot * SLOT_WORDS)
    }
  })
  extra.write(words)
  return { words, numSlots, numLists, reportWords }
}

/** Where a task's variable parts lie, in words; 0 where it has none. */
interface Place {
  mask: number
  edits: number
  pivots: number
}

/** Masks, edits and pivots behind the fixed part; rows that share them share the words. */
class ExtraWords {
  end: number
  readonly #parts = new Map<object, { at: number; write(words: Uint32Array, at: number): void }>()

  constructor(at: number) {
    this.end = at
  }

  place({ params, isRaw, pivots }: Task): Place {
    const { allowedMask, edits, repetitionPenalty } = params
    return {
      mask:
        isRaw || allowedMask === null
          ? 0
          : this.#add(allowedMask, allowedMask.length, (words, at) => {
              words.set(
                new Uint32Array(allowedMask.buffer, allowedMask.byteOffset, allowedMask.length),
                at,
              )
            }),
      edits:
        isRaw || edits.length === 0
          ? 0
          : this.#add(edits, edits.length * EDIT_WORDS, (words, at) => {
              edits.forEach(({ tokenId, bias, repeated, penalty }, i) => {
                const repetition = repeated ? repetitionPenalty : 1
                words.set(
                  [tokenId, bitsOf(bias), bitsOf(repetition), bitsOf(penalty)],
                  at + i * EDIT_WORDS,
                )
              })
            }),
      pivots:
        pivots.length === 0
          ? 0
          : this.#add(pivots, pivots.length * 2, (words, at) => {
              pivots.forEach(({ logit, tokenId }, i) => {
                words.set([bitsOf(logit), tokenId], at + i * 2)
              })
            }),
    }
  }

  write(words: Uint32Array): void {
    for (const { at, write } of this.#parts.values()) write(words, at)
  }

  #add(key: object, length: number, write: (words: Uint32Array, at: number) => void): number {
    const found = this.#parts.get(key)
    if (found !== undefined) return found.at
    const at = this.end
    this.end += length
    this.#parts.set(key, { at, write })
    return at
  }
}
