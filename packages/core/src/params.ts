/**
 * Validation and normal form of sampling parameters.
 *
 * @module
 */
import { invalidArgument, invalidType } from './errors.ts'
import type { LogprobsMode, SamplingParams } from './types.ts'

/** Most draws a row may ask for. */
export const MAX_NUM_SAMPLES = 1024
/** Most top log-probabilities a row may ask for. */
export const MAX_LOGPROBS = 1024

const ACTION = 'sample tokens'
const U64_MAX = 0xffff_ffff_ffff_ffffn

/** One token whose logit is changed before mask and temperature. */
export interface LogitEdit {
  /** Global token id. */
  tokenId: number
  /** Added to the logit first. */
  bias: number
  /** Whether the repetition penalty applies: the token occurs in prompt or output. */
  repeated: boolean
  /** Subtracted last: frequencyPenalty * count + presencePenalty, logits. */
  penalty: number
}

/** Parameters of one row with every default filled in; what backends receive. */
export interface RowParams {
  /** >= 0; 0 is greedy. */
  temperature: number
  /** 0 is off; at most the vocabulary size. */
  topK: number
  /** [0, 1]; 1 is off; 0 keeps the best token alone. */
  topP: number
  /** [0, 1]; 0 is off. */
  minP: number
  /** u64. */
  seed: bigint
  /** u64. */
  position: bigint
  /** First draw, u32. */
  drawIndex: number
  /** Draws of the row, >= 1. */
  numSamples: number
  /** > 0; 1 is off. */
  repetitionPenalty: number
  /** Tokens whose logits change, ascending by tokenId, each once. */
  edits: readonly LogitEdit[]
  /** Bitmask words over global token ids, bit 1 = allowed; `null` allows all. */
  allowedMask: Int32Array | null
  /** Top log-probabilities to report; 0 is none. */
  logprobs: number
  /** Distribution of the reported log-probabilities. */
  logprobsMode: LogprobsMode
}

/**
 * Checks one row's parameters and fills in the defaults.
 *
 * @param params - As the caller gave them.
 * @param vocabSize - One past the highest token id of the head.
 * @returns The normal form; the input is not kept, so later changes to it have no effect.
 * @throws {TypeError} when a value has a wrong type.
 * @throws {RangeError} when a value is out of range.
 */
export function normalizeParams(params: SamplingParams, vocabSize: number): RowParams {
  if (typeof params !== 'object' || params === null) {
    throw invalidType(ACTION, 'params', 'an object with at least "seed"', params)
  }
  const temperature = numberOption(
    'temperature',
    params.temperature,
    1,
    0,
    Number.MAX_VALUE,
    '>= 0',
  )
  const topK = integerOption(
    'topK',
    params.topK,
    0,
    0,
    Number.MAX_SAFE_INTEGER,
    'a whole number >= 0',
  )
  const topP = numberOption('topP', params.topP, 1, 0, 1, 'from 0 to 1')
  const minP = numberOption('minP', params.minP, 0, 0, 1, 'from 0 to 1')
  const repetitionPenalty = numberOption(
    'repetitionPenalty',
    params.repetitionPenalty,
    1,
    Number.MIN_VALUE,
    Number.MAX_VALUE,
    '> 0',
  )
  const presencePenalty = finiteOption('presencePenalty', params.presencePenalty)
  const frequencyPenalty = finiteOption('frequencyPenalty', params.frequencyPenalty)
  const numSamples = integerOption(
    'numSamples',
    params.numSamples,
    1,
    1,
    MAX_NUM_SAMPLES,
    `a whole number from 1 to ${MAX_NUM_SAMPLES}`,
  )
  const drawIndex = integerOption(
    'drawIndex',
    params.drawIndex,
    0,
    0,
    0xffff_ffff - (numSamples - 1),
    'a whole number from 0 to 2^32 - numSamples',
  )
  const logprobs = integerOption(
    'logprobs',
    params.logprobs,
    0,
    0,
    MAX_LOGPROBS,
    `a whole number from 0 to ${MAX_LOGPROBS}`,
  )
  const logprobsMode = params.logprobsMode ?? 'transformed'
  if (logprobsMode !== 'transformed' && logprobsMode !== 'raw') {
    throw invalidArgument(ACTION, 'logprobsMode', '"transformed" or "raw"', logprobsMode)
  }
  return {
    temperature,
    topK: topK >= vocabSize ? 0 : topK,
    topP,
    minP,
    seed: u64Option('seed', params.seed, undefined),
    position: u64Option('position', params.position, 0n),
    drawIndex,
    numSamples,
    repetitionPenalty,
    edits: collectEdits(params, repetitionPenalty, presencePenalty, frequencyPenalty, vocabSize),
    allowedMask: params.allowedTokens == null ? null : maskWords(params.allowedTokens, vocabSize),
    logprobs,
    logprobsMode,
  }
}

/**
 * Normalises the parameters of a batch: one object for all rows, or exactly one per row.
 *
 * @param params - One object or an array of `batchSize` objects.
 * @param batchSize - Rows.
 * @param vocabSize - One past the highest token id of the head.
 * @returns One normal form per row; rows that share an object share it here too.
 * @throws {RangeError} when the array's length is not `batchSize`.
 */
export function normalizeBatchParams(
  params: SamplingParams | readonly SamplingParams[],
  batchSize: number,
  vocabSize: number,
): RowParams[] {
  if (!Array.isArray(params)) {
    const shared = normalizeParams(params as SamplingParams, vocabSize)
    return new Array<RowParams>(batchSize).fill(shared)
  }
  if (params.length !== batchSize) {
    throw invalidArgument(
      ACTION,
      'params',
      `one object, or an array of ${batchSize} (one per row)`,
      params,
    )
  }
  return params.map((row: SamplingParams) => normalizeParams(row, vocabSize))
}

function numberOption(
  name: string,
  value: unknown,
  fallback: number,
  low: number,
  high: number,
  rule: string,
): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number') throw invalidType(ACTION, name, 'a number', value)
  if (!(value >= low && value <= high)) throw invalidArgument(ACTION, name, rule, value)
  return value
}

function integerOption(
  name: string,
  value: unknown,
  fallback: number,
  low: number,
  high: number,
  rule: string,
): number {
  const number = numberOption(name, value, fallback, low, high, rule)
  if (!Number.isInteger(number)) throw invalidArgument(ACTION, name, rule, number)
  return number
}

function finiteOption(name: string, value: unknown): number {
  return numberOption(name, value, 0, -Number.MAX_VALUE, Number.MAX_VALUE, 'a finite number')
}

function u64Option(name: string, value: unknown, fallback: bigint | undefined): bigint {
  if (value === undefined && fallback !== undefined) return fallback
  if (typeof value === 'number' && name !== 'seed') {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw invalidArgument(ACTION, name, 'a whole number from 0 to 2^53 - 1, or a bigint', value)
    }
    return BigInt(value)
  }
  if (typeof value !== 'bigint') throw invalidType(ACTION, name, 'a bigint, for example 42n', value)
  if (value < 0n || value > U64_MAX)
    throw invalidArgument(ACTION, name, 'from 0 to 2^64 - 1', value)
  return value
}

/** Checks a token id of a list or map option. */
function checkTokenId(name: string, tokenId: unknown, vocabSize: number): number {
  if (typeof tokenId !== 'number') throw invalidType(ACTION, name, 'token ids (numbers)', tokenId)
  if (!Number.isInteger(tokenId) || tokenId < 0 || tokenId >= vocabSize) {
    throw invalidArgument(ACTION, name, `token ids from 0 to ${vocabSize - 1}`, tokenId)
  }
  return tokenId
}

function* tokenIdsOf(name: string, ids: unknown, vocabSize: number): Generator<number> {
  if (ids == null) return
  if (typeof (ids as Iterable<number>)[Symbol.iterator] !== 'function') {
    throw invalidType(ACTION, name, 'an iterable of token ids', ids)
  }
  for (const id of ids as Iterable<number>) yield checkTokenId(name, id, vocabSize)
}

function collectEdits(
  params: SamplingParams,
  repetitionPenalty: number,
  presencePenalty: number,
  frequencyPenalty: number,
  vocabSize: number,
): LogitEdit[] {
  const edits = new Map<number, LogitEdit>()
  const editOf = (tokenId: number): LogitEdit => {
    let edit = edits.get(tokenId)
    if (edit === undefined) {
      edit = { tokenId, bias: 0, repeated: false, penalty: 0 }
      edits.set(tokenId, edit)
    }
    return edit
  }
  for (const [tokenId, bias] of biasEntries(params.logitBias)) {
    checkTokenId('logitBias', tokenId, vocabSize)
    if (typeof bias !== 'number')
      throw invalidType(ACTION, `logitBias[${tokenId}]`, 'a number', bias)
    if (Number.isNaN(bias) || bias === Infinity) {
      throw invalidArgument(ACTION, `logitBias[${tokenId}]`, 'finite or -Infinity', bias)
    }
    editOf(tokenId).bias = bias
  }
  // The id lists are checked even where no penalty uses them: a wrong id is a caller's bug either way.
  const penalizes = presencePenalty !== 0 || frequencyPenalty !== 0
  const repeats = repetitionPenalty !== 1
  for (const tokenId of tokenIdsOf('promptTokenIds', params.promptTokenIds, vocabSize)) {
    if (repeats) editOf(tokenId).repeated = true
  }
  const counts = new Map<number, number>()
  for (const tokenId of tokenIdsOf('outputTokenIds', params.outputTokenIds, vocabSize)) {
    if (repeats) editOf(tokenId).repeated = true
    if (penalizes) counts.set(tokenId, (counts.get(tokenId) ?? 0) + 1)
  }
  for (const [tokenId, count] of counts) {
    editOf(tokenId).penalty = frequencyPenalty * count + presencePenalty
  }
  return [...edits.values()].sort((a, b) => a.tokenId - b.tokenId)
}

function* biasEntries(logitBias: SamplingParams['logitBias']): Generator<[number, number]> {
  if (logitBias == null) return
  if (typeof logitBias !== 'object') {
    throw invalidType(ACTION, 'logitBias', 'a Map or an object from token id to number', logitBias)
  }
  if (logitBias instanceof Map) yield* logitBias as Map<number, number>
  else for (const [key, bias] of Object.entries(logitBias)) yield [Number(key), bias as number]
}

function maskWords(allowedTokens: Int32Array | Iterable<number>, vocabSize: number): Int32Array {
  const numWords = Math.ceil(vocabSize / 32)
  if (allowedTokens instanceof Int32Array) {
    if (allowedTokens.length < numWords) {
      throw invalidArgument(
        ACTION,
        'allowedTokens',
        `a bitmask of at least ${numWords} words (one bit per token)`,
        allowedTokens,
      )
    }
    return allowedTokens.slice(0, numWords)
  }
  const words = new Int32Array(numWords)
  for (const tokenId of tokenIdsOf('allowedTokens', allowedTokens, vocabSize)) {
    words[tokenId >> 5] = (words[tokenId >> 5] as number) | (1 << (tokenId & 31))
  }
  return words
}
