/**
 * The worker's side of the page: model, generation and oracle, so that the page itself never blocks.
 *
 * @module
 */
import {
  type BackendFeature,
  FlashSamplingError,
  type LmHeadShard,
  type SamplingParams,
} from '@flashsampling/core'
import { checkRequest, encodePrompt } from '../src/demo/check-request.ts'
import { generate } from '../src/demo/generate.ts'
import type { LlamaBody } from '../src/demo/llama-body.ts'
import { openModel } from '../src/demo/load-model.ts'
import { blobSource } from '../src/demo/model-source.ts'
import { OracleCheck } from '../src/demo/oracle-check.ts'
import type { ModelTokenizer } from '../src/demo/tokenizer.ts'
import { UserError } from '../src/ui/user-error.ts'
import { download } from './download.ts'
import type {
  Engine,
  Environment,
  GenerateRequest,
  GenerationEvents,
  GenerationSummary,
  ModelInfo,
  Verdict,
  Verification,
  WorkProgress,
} from './engine-types.ts'
import { type Head, openHead } from './head.ts'
import { describeAdapter, findAdapter } from './webgpu.ts'

/** A model with everything that generation needs. */
interface LoadedModel {
  name: string
  body: LlamaBody
  lmHead: LmHeadShard
  tokenizer: ModelTokenizer
}

/** One draw, kept for the oracle. */
interface Draw {
  hiddenState: Float32Array
  params: SamplingParams
  tokenId: number
  logprob: number
}

/** {@link Engine} over the demo's model code. */
export class ModelEngine implements Engine {
  #model: LoadedModel | null = null
  #head: Head | null = null
  #draws: Draw[] = []
  #running: AbortController | null = null

  async describe(): Promise<Environment> {
    const { adapter, reason } = await findAdapter()
    return {
      webgpu: adapter && describeAdapter(adapter),
      webgpuReason: reason,
      hasThreads: globalThis.crossOriginIsolated,
    }
  }

  async load(
    source: Blob | string,
    name: string,
    onProgress: (progress: WorkProgress) => void,
  ): Promise<ModelInfo> {
    return explainFailures(`load ${name}`, async () => {
      const report = (label: string, total: number) => (done: number) =>
        onProgress({ label, done, total, unit: 'bytes' })
      const blob =
        typeof source === 'string'
          ? await download(source, name, (done, total) =>
              report('Downloading the model', total)(done),
            )
          : source
      const model = await openModel(blobSource(blob, name))
      const { config, tokenizer } = model
      const { body, lmHead } = await model.loadWeights({
        onProgress: report('Loading the weights', model.weightBytes),
      })
      await this.#closeHead()
      this.#draws = []
      this.#model = { name, body, lmHead, tokenizer }
      const { numBlocks, vocabSize, hiddenSize, contextLength } = config
      return { name, numBlocks, vocabSize, hiddenSize, contextLength, headDtype: lmHead.dtype }
    })
  }

  async generate(request: GenerateRequest, events: GenerationEvents): Promise<GenerationSummary> {
    const { prompt, raw, temperature, topK, topP, minP, seed, maxTokens } = request
    const params = { temperature, topK, topP, minP }
    checkRequest({ ...params, seed }, maxTokens)
    const model = this.#loadedModel('generate text')
    const { body, tokenizer } = model
    const { contextLength } = body.config
    const options = { tokenizer, contextLength, raw, maxTokens, modelName: model.name }
    const promptTokenIds = encodePrompt(prompt, options)
    const head = await this.#openHead(model, request)
    events.onHead(head.info)

    const draws: Draw[] = []
    this.#draws = draws
    const decoder = tokenizer.createDecoder()
    const drawn = { tokenId: -1, logprob: 0, tokenText: '', newText: '' }
    let stepStartedAt = 0
    head.takeReadBackBytes()
    return this.#run('generate text', async (signal) => {
      const stats = await generate({
        body,
        sampler: head.sampler,
        prompts: [promptTokenIds],
        params,
        seed,
        maxTokens,
        endTokenIds: tokenizer.endTokenIds,
        signal,
        onPromptProgress: async (done) => {
          const { length: total } = promptTokenIds
          events.onProgress({ label: 'Reading the prompt', done, total, unit: 'tokens' })
          await nextTask()
          stepStartedAt = performance.now()
        },
        onToken: ({ tokenId, logprob, draw }) => {
          drawn.tokenId = tokenId
          drawn.logprob = logprob
          drawn.tokenText = textOf(tokenizer, tokenId)
          drawn.newText = tokenizer.endTokenIds.has(tokenId) ? '' : decoder.push(tokenId)
          draws.push({
            tokenId,
            logprob,
            hiddenState: draw.hiddenState.slice(),
            params: draw.params,
          })
        },
        onStep: async (times) => {
          // Lets a click on "Stop" in; everything else of a step runs in one piece.
          await nextTask()
          const now = performance.now()
          const totalMs = now - stepStartedAt
          stepStartedAt = now
          const readBackBytes = head.takeReadBackBytes()
          events.onStep({ ...drawn, ...times, totalMs, readBackBytes })
        },
      })
      const isEnd = tokenizer.endTokenIds.has(drawn.tokenId)
      const isFull = stats.drawnTokens === maxTokens
      return {
        promptTokens: stats.promptTokens,
        promptMs: stats.promptMs,
        drawnTokens: stats.drawnTokens,
        reason: isEnd ? 'end token' : isFull ? 'maxTokens' : 'stopped',
        lastText: decoder.end(),
      }
    })
  }

  async verify(onProgress: (progress: WorkProgress) => void): Promise<Verification> {
    const { lmHead } = this.#loadedModel('verify draws')
    const draws = this.#draws
    if (draws.length === 0) {
      throw new UserError('Cannot verify draws as there are none: generate text first')
    }
    return this.#run('verify draws', async (signal) => {
      const oracle = new OracleCheck(lmHead)
      const verdicts: Verdict[] = []
      for (const { hiddenState, params, tokenId, logprob } of draws) {
        if (signal.aborted) break
        const before = { ...oracle.report }
        oracle.check(hiddenState, params, { tokenId, logprob })
        const { differences, withinMargin } = oracle.report
        if (differences > before.differences) verdicts.push('differs')
        else verdicts.push(withinMargin > before.withinMargin ? 'within margin' : 'same')
        const done = verdicts.length
        onProgress({ label: 'Recomputing the draws', done, total: draws.length, unit: 'tokens' })
        await nextTask()
      }
      const { differences, withinMargin, margin, maxLogprobError } = oracle.report
      return { verdicts, differences, withinMargin, margin, maxLogprobError }
    })
  }

  stop(): void {
    this.#running?.abort()
  }

  #loadedModel(action: string): LoadedModel {
    if (this.#model === null) {
      throw new UserError(`Cannot ${action} as no model is loaded: choose a GGUF file first`)
    }
    return this.#model
  }

  /** Keeps the sampler while it is on the wanted backend and serves what is asked for. */
  async #openHead(model: LoadedModel, request: GenerateRequest): Promise<Head> {
    const features = featuresOf(request)
    const head = this.#head
    const serves = head !== null && features.every((f) => head.capabilities.features.includes(f))
    if (serves && !head.isLost && head.info.backend === request.backend) return head
    await this.#closeHead()
    this.#head = await openHead(request.backend, model.lmHead, features)
    return this.#head
  }

  async #closeHead(): Promise<void> {
    const head = this.#head
    this.#head = null
    await head?.close()
  }

  async #run<T>(action: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController()
    this.#running = controller
    try {
      return await explainFailures(action, () => work(controller.signal))
    } finally {
      if (this.#running === controller) this.#running = null
    }
  }
}

/** What a request needs of a backend. */
function featuresOf({ topK, topP, minP }: GenerateRequest): BackendFeature[] {
  const wanted: [BackendFeature, boolean][] = [
    ['topK', topK > 0],
    ['topP', topP < 1],
    ['minP', minP > 0],
  ]
  return wanted.filter(([, isWanted]) => isWanted).map(([feature]) => feature)
}

/**
 * Says what to do about memory, which engines report as a `RangeError` of no particular kind, and about a device that
 * is lost.
 */
async function explainFailures<T>(action: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof RangeError && /allocation|array length|memory/i.test(error.message)) {
      throw new UserError(
        `Cannot ${action} as the browser has too little memory (${error.message}): close other tabs or use a smaller model`,
        { cause: error },
      )
    }
    if (FlashSamplingError.isInstance(error) && error.code === 'DEVICE_LOST') {
      throw new UserError(
        `${error.message.replace(/\.$/, '')}. Generate again: the page then asks for a GPU anew, and goes on with the CPU where there is none`,
        { cause: error },
      )
    }
    throw error
  }
}

/** Resolves when messages that have arrived meanwhile have been handled. */
function nextTask(): Promise<void> {
  // A timer would wait for 4 ms.
  const { port1, port2 } = new MessageChannel()
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
}

function textOf(tokenizer: ModelTokenizer, tokenId: number): string {
  const decoder = tokenizer.createDecoder()
  return decoder.push(tokenId) + decoder.end()
}
