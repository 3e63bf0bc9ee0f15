/**
 * The generation loop: body, then one fused draw for the whole batch, step by step.
 *
 * @module
 */
import type { Sampler, SamplingParams, TopLogprobs } from '@flashsampling/core'
import type { KvCache } from './attention.ts'
import type { LlamaBody } from './llama-body.ts'

/** Tokens of a prompt that run through the body at once. */
const PREFILL_TOKENS = 16

/** One drawn token. */
export interface GeneratedToken {
  /** Row of the batch: index of the prompt. */
  row: number
  /** Step of the row, from 0; the `position` of its noise. */
  step: number
  /** The token. */
  tokenId: number
  /** Its natural log-probability. */
  logprob: number
  /** The most likely tokens, where the parameters ask for them. */
  topLogprobs: TopLogprobs | null
  /** What the draw was made from, valid during the callback only. */
  draw: { hiddenState: Float32Array; params: SamplingParams }
}

/** Options of {@link generate}. */
export interface GenerateOptions {
  /** Transformer without the head. */
  body: LlamaBody
  /** Draws from the head. */
  sampler: Sampler
  /** Prompts as token ids, at least one token each; one row of the batch each. */
  prompts: readonly (readonly number[])[]
  /** Parameters that all rows share. */
  params: Omit<SamplingParams, 'seed' | 'position' | 'promptTokenIds' | 'outputTokenIds'>
  /** Seed of row 0; see {@link rowSeed}. */
  seed: bigint
  /** Most tokens to draw for a row. */
  maxTokens: number
  /** Tokens that end a row. */
  endTokenIds: ReadonlySet<number>
  /** Called after each piece of a prompt with the prompt tokens read so far, all rows together; awaited. */
  onPromptProgress?: ((doneTokens: number) => void | Promise<void>) | undefined
  /** Called for each drawn token, rows of a step in order, the end token included. */
  onToken?: ((token: GeneratedToken) => void) | undefined
  /** Called when a row ends. */
  onRowEnd?: ((row: number) => void) | undefined
  /** Called after each step, when its tokens have been told; awaited, so that a page can stay responsive. */
  onStep?: ((times: StepTimes) => void | Promise<void>) | undefined
  /** Ends the generation after the current step, or the current piece of a prompt. */
  signal?: AbortSignal | undefined
}

/** Times of one step. */
export interface StepTimes {
  /** Step, from 0. */
  step: number
  /** Time in the body, ms; 0 in step 0, which draws from what the prompt left behind. */
  bodyMs: number
  /** Time in the sampler: LM head and draw in one, ms. */
  headMs: number
}

/** What a generation did, for the summary. */
export interface GenerationStats {
  /** Prompt tokens of all rows. */
  promptTokens: number
  /** Drawn tokens of all rows. */
  drawnTokens: number
  /** Calls of the sampler. */
  steps: number
  /** Time in the body while reading the prompts, ms. */
  promptMs: number
  /** Time in the body for drawn tokens, ms. */
  bodyMs: number
  /** Time in the sampler: LM head and draw in one, ms. */
  headMs: number
}

interface ActiveRow {
  row: number
  cache: KvCache
  seed: bigint
  promptTokenIds: readonly number[]
  outputTokenIds: number[]
}

/**
 * Seed of one row: the seed plus the row's index, modulo 2^64, so that equal prompts in a batch get different texts and
 * row r repeats what `seed + r` gives alone.
 *
 * @param seed - Seed of the run, u64.
 * @param row - Index of the prompt.
 * @returns u64.
 */
export function rowSeed(seed: bigint, row: number): bigint {
  return BigInt.asUintN(64, seed + BigInt(row))
}

/**
 * Generates text for all prompts in one batch until every row has ended.
 *
 * @param options - Model, prompts, parameters and callbacks.
 * @returns Counts and times.
 */
export async function generate(options: GenerateOptions): Promise<GenerationStats> {
  const { body, sampler, prompts, params, maxTokens } = options
  const stats = { promptTokens: 0, drawnTokens: 0, steps: 0, promptMs: 0, bodyMs: 0, headMs: 0 }
  let active: ActiveRow[] = prompts.map((promptTokenIds, row) => ({
    row,
    cache: body.createCache(promptTokenIds.length + maxTokens),
    seed: rowSeed(options.seed, row),
    promptTokenIds,
    outputTokenIds: [],
  }))
  let hiddenStates = await readPrompts(options, active, stats)
  for (let step = 0; step < maxTokens && active.length > 0; step++) {
    if (options.signal?.aborted) break
    let bodyMs = 0
    if (step > 0) {
      const startedAt = performance.now()
      hiddenStates = body.forward(
        active.map(({ cache, outputTokenIds }) => ({
          cache,
          tokenId: outputTokenIds.at(-1) as number,
        })),
      )
      bodyMs = performance.now() - startedAt
      stats.bodyMs += bodyMs
    }
    const rowParams = active.map(
      ({ seed, promptTokenIds, outputTokenIds }): SamplingParams => ({
        ...params,
        seed,
        position: step,
        promptTokenIds,
        outputTokenIds,
      }),
    )
    const startedAt = performance.now()
    const result = await sampler.sample({ hiddenStates, params: rowParams })
    const headMs = performance.now() - startedAt
    stats.headMs += headMs
    stats.steps++
    stats.drawnTokens += active.length
    active = active.filter(({ row, outputTokenIds }, i) => {
      const tokenId = result.tokenIds[i] as number
      options.onToken?.({
        row,
        step,
        tokenId,
        logprob: result.logprobs[i] as number,
        topLogprobs: result.topLogprobs[i] ?? null,
        draw: {
          hiddenState: hiddenStates.subarray(i * sampler.hiddenSize, (i + 1) * sampler.hiddenSize),
          params: rowParams[i] as SamplingParams,
        },
      })
      outputTokenIds.push(tokenId)
      const isOver = options.endTokenIds.has(tokenId) || step + 1 === maxTokens
      if (isOver) options.onRowEnd?.(row)
      return !isOver
    })
    await options.onStep?.({ step, bodyMs, headMs })
  }
  return stats
}

/** Runs every prompt through the body; returns the hidden state of each row's last token, `[rows, hiddenSize]`. */
async function readPrompts(
  options: GenerateOptions,
  rows: readonly ActiveRow[],
  stats: GenerationStats,
): Promise<Float32Array> {
  const { body } = options
  const { hiddenSize } = body.config
  const last = new Float32Array(rows.length * hiddenSize)
  for (const { row, cache, promptTokenIds } of rows) {
    for (let start = 0; start < promptTokenIds.length; start += PREFILL_TOKENS) {
      if (options.signal?.aborted) return last
      const piece = promptTokenIds.slice(start, start + PREFILL_TOKENS)
      const startedAt = performance.now()
      const hiddenStates = body.forward(piece.map((tokenId) => ({ tokenId, cache })))
      stats.promptMs += performance.now() - startedAt
      stats.promptTokens += piece.length
      await options.onPromptProgress?.(stats.promptTokens)
      last.set(hiddenStates.subarray((piece.length - 1) * hiddenSize), row * hiddenSize)
    }
  }
  return last
}
