/**
 * The demo: text from a real model, its head and draw done by `createSampler`.
 *
 * @module
 */
import { totalmem } from 'node:os'
import {
  createCpuBackend,
  createSampler,
  type LmHeadShard,
  type Sampler,
  type SamplingParams,
} from '@flashsampling/core'
import { formatBytes } from '../ui/format-bytes.ts'
import { Progress } from '../ui/progress.ts'
import { checkRequest, encodePrompt } from './check-request.ts'
import { fetchModel } from './fetch-model.ts'
import { openFileSource } from './file-source.ts'
import { type GeneratedToken, type GenerationStats, generate, rowSeed } from './generate.ts'
import type { LlamaBody } from './llama-body.ts'
import { type OpenModel, openModel } from './load-model.ts'
import { SMOLLM2 } from './model-package.ts'
import { describeReport, OracleCheck } from './oracle-check.ts'
import { RowPrinter } from './row-printer.ts'
import type { ModelTokenizer } from './tokenizer.ts'

/** Options of the demo, as the command line gives them. */
export interface DemoOptions {
  /** User messages, or texts to continue with `raw`; one row of the batch each. */
  prompts: readonly string[]
  /** Continues the prompts as they are, without the chat template. */
  raw: boolean
  /** A GGUF file of a Llama model; `undefined` fetches SmolLM2-135M-Instruct. */
  model?: string | undefined
  /** Seed of row 0. */
  seed: bigint
  /** Most tokens a row. */
  maxTokens: number
  /** Parameters that all rows share. */
  params: Omit<SamplingParams, 'seed'>
  /** Threads of the CPU backend; `undefined` lets it choose. */
  threads?: number | undefined
  /** Kernels of the CPU backend. */
  kernels: 'auto' | 'wasm' | 'typescript'
  /** Recomputes every token by the float64 oracle. */
  verifyOracle: boolean
}

/** Where the demo writes. */
export interface DemoStreams {
  /** Receives the generated text and the oracle's verdict: the same for the same options. */
  out: (text: string) => void
  /** Receives everything else: notices and times. */
  log: (line: string) => void
}

/**
 * Runs the demo.
 *
 * @param options - What to generate.
 * @param streams - Where to write.
 * @returns `true` when every token is as the oracle says, or the oracle was not asked.
 * @throws {UserError} when the model cannot be used or an option is wrong.
 */
export async function runDemo(options: DemoOptions, streams: DemoStreams): Promise<boolean> {
  checkRequest({ ...options.params, seed: options.seed }, options.maxTokens)
  const { threads, kernels } = options
  const backend = createCpuBackend({ threads, kernels })
  const path = options.model ?? (await fetchModel(SMOLLM2, streams.log))
  const model = await openModel(await openFileSource(path))
  try {
    const prompts = encodePrompts(options, model, path)
    const weights = await loadWithProgress(model)
    const sampler = await createSampler({ lmHead: weights.lmHead, backend })
    try {
      const { tokenizer } = model
      return await writeTexts(options, streams, {
        ...weights,
        tokenizer,
        prompts,
        sampler,
        kernels: backend.kernels,
      })
    } finally {
      await sampler.dispose()
    }
  } finally {
    await model.close()
  }
}

async function loadWithProgress(model: OpenModel): ReturnType<OpenModel['loadWeights']> {
  const progress = new Progress({
    label: 'Loading the weights',
    total: model.weightBytes,
    format: formatBytes,
  })
  try {
    const weights = await model.loadWeights({
      onProgress: (doneBytes) => progress.update(doneBytes),
      memoryBytes: totalmem(),
    })
    progress.done()
    return weights
  } finally {
    progress.stop()
  }
}

/** Encodes the prompts; each is a row of the batch. */
function encodePrompts(options: DemoOptions, model: OpenModel, path: string): number[][] {
  const { raw, maxTokens, prompts } = options
  const { tokenizer, config } = model
  const { contextLength } = config
  return prompts.map((prompt) =>
    encodePrompt(prompt, { tokenizer, contextLength, raw, maxTokens, modelName: path }),
  )
}

/** Everything that generation needs, loaded. */
interface Ready {
  body: LlamaBody
  lmHead: LmHeadShard
  tokenizer: ModelTokenizer
  prompts: readonly (readonly number[])[]
  sampler: Sampler
  kernels: string
}

async function writeTexts(
  options: DemoOptions,
  streams: DemoStreams,
  ready: Ready,
): Promise<boolean> {
  const { body, lmHead, tokenizer, prompts, sampler, kernels } = ready
  const oracle = options.verifyOracle ? new OracleCheck(lmHead) : null
  const progress = new Progress({
    label: prompts.length === 1 ? 'Reading the prompt (tokens)' : 'Reading the prompts (tokens)',
    total: prompts.reduce((sum, tokenIds) => sum + tokenIds.length, 0),
  })
  const printer = new RowPrinter(headingsOf(options), streams.out)
  const decoders = prompts.map(() => tokenizer.createDecoder())
  const tokens: GeneratedToken[] = []
  let numCut = 0
  const stats = await generate({
    body,
    sampler,
    prompts,
    params: options.params,
    seed: options.seed,
    maxTokens: options.maxTokens,
    endTokenIds: tokenizer.endTokenIds,
    onPromptProgress: (done) => progress.update(done),
    onToken: (token) => {
      progress.done()
      const { row, step, tokenId, draw } = token
      if (!tokenizer.endTokenIds.has(tokenId)) {
        printer.push(row, decoders[row]?.push(tokenId) ?? '')
        if (step + 1 === options.maxTokens) numCut++
      }
      oracle?.check(draw.hiddenState, draw.params, token)
      tokens.push(token)
    },
    onRowEnd: (row) => {
      printer.push(row, decoders[row]?.end() ?? '')
      printer.end(row)
    },
  })
  if (options.params.logprobs) writeLogprobs(tokens, tokenizer, streams)
  writeSummary(stats, { vocabSize: sampler.vocabSize, kernels, numCut }, streams)
  if (oracle === null) return true
  streams.out(`oracle: ${describeReport(oracle.report)}\n`)
  return oracle.report.differences === 0
}

function headingsOf({ prompts, seed }: DemoOptions): string[] {
  if (prompts.length === 1) return ['']
  return prompts.map((prompt, row) => `--- ${row}, seed ${rowSeed(seed, row)}: ${prompt}\n`)
}

function writeLogprobs(
  tokens: readonly GeneratedToken[],
  tokenizer: ModelTokenizer,
  streams: DemoStreams,
): void {
  const textOf = (tokenId: number): string => {
    const decoder = tokenizer.createDecoder()
    return JSON.stringify(decoder.push(tokenId) + decoder.end())
  }
  streams.out('row step token logprob; most likely tokens\n')
  for (const { row, step, tokenId, logprob, topLogprobs } of tokens) {
    const top = Array.from(topLogprobs?.tokenIds ?? [], (id, rank) => {
      return `${textOf(id)} ${topLogprobs?.logprobs[rank]?.toFixed(3)}`
    })
    streams.out(`${row} ${step} ${textOf(tokenId)} ${logprob.toFixed(3)}; ${top.join(', ')}\n`)
  }
}

function writeSummary(
  stats: GenerationStats,
  run: { vocabSize: number; kernels: string; numCut: number },
  streams: DemoStreams,
): void {
  const { vocabSize, kernels, numCut } = run
  const { promptTokens, promptMs, drawnTokens, steps, bodyMs, headMs } = stats
  // The first step of each row reads the hidden state that the prompt left behind.
  const totalMs = bodyMs + headMs
  const perSecond = (count: number, ms: number): string => (count / (ms / 1000)).toFixed(1)
  const percent = (ms: number): string => `${((100 * ms) / totalMs).toFixed(1)} %`
  const unwrittenBytes = vocabSize * 4 * drawnTokens
  if (numCut > 0) streams.log(`cut at --max-tokens: ${numCut} of the texts`)
  streams.log(`prompt: ${promptTokens} tokens in ${(promptMs / 1000).toFixed(2)} s`)
  streams.log(
    `text: ${drawnTokens} tokens in ${(totalMs / 1000).toFixed(2)} s, ${perSecond(drawnTokens, totalMs)} tokens/s`,
  )
  streams.log(
    `time: head and draw ${percent(headMs)} (${(headMs / steps).toFixed(2)} ms a step, ${kernels} kernels), ` +
      `body ${percent(bodyMs)}`,
  )
  streams.log(
    `logits never written: ${formatBytes(unwrittenBytes)} ` +
      `(${vocabSize} tokens x 4 bytes x ${drawnTokens} draws)`,
  )
}
