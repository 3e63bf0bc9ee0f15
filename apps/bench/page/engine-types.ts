/**
 * What the page and its worker tell each other; everything here is copied between threads.
 *
 * @module
 */

/** Which backend draws. */
export type BackendKind = 'webgpu' | 'cpu'

/** A WebGPU adapter in words. */
export interface WebGpuInfo {
  /** Name of the adapter. */
  name: string
  /** Whether it runs on the CPU after all. */
  isSoftware: boolean
}

/** What the browser offers. */
export interface Environment {
  /** WebGPU adapter, or `null` where there is none. */
  webgpu: WebGpuInfo | null
  /** Why there is no WebGPU; empty where there is. */
  webgpuReason: string
  /** Whether the CPU backend can use threads: the page is cross-origin isolated. */
  hasThreads: boolean
}

/** A model that is loaded. */
export interface ModelInfo {
  /** File name. */
  name: string
  /** Blocks of the transformer. */
  numBlocks: number
  /** Tokens of the vocabulary. */
  vocabSize: number
  /** Width of a hidden state, elements. */
  hiddenSize: number
  /** Storage of the LM head. */
  headDtype: string
  /** Longest sequence, tokens. */
  contextLength: number
}

/** How far a piece of work is. */
export interface WorkProgress {
  /** What is being done, for example `Loading the weights`. */
  label: string
  /** Amount done, in the unit of `total`. */
  done: number
  /** Amount that means finished. */
  total: number
  /** Unit of both. */
  unit: 'bytes' | 'tokens'
}

/** What the user asks for. */
export interface GenerateRequest {
  /** User message, or text to continue with `raw`. */
  prompt: string
  /** Continues the prompt as it is, without the chat template. */
  raw: boolean
  /** Divides the logits; 0 takes the most likely token. */
  temperature: number
  /** Draws from the k most likely tokens; 0 is off. */
  topK: number
  /** Draws from the most likely tokens that hold this probability; 1 is off. */
  topP: number
  /** Drops tokens less likely than this share of the best; 0 is off. */
  minP: number
  /** Seed of the draws, u64. */
  seed: bigint
  /** Most tokens to draw. */
  maxTokens: number
  /** Wanted backend; where it cannot be had the CPU draws, and {@link HeadInfo.notice} says why. */
  backend: BackendKind
}

/** The backend that draws. */
export interface HeadInfo {
  /** Which backend it is. */
  backend: BackendKind
  /** The backend in words, for example `CPU, WebAssembly SIMD`. */
  description: string
  /** Why it is not the wanted one; empty where it is. */
  notice: string
}

/** One step of the generation: one token. */
export interface GeneratedStep {
  /** Step, from 0; the `position` of its noise. */
  step: number
  /** The token. */
  tokenId: number
  /** The token's own text, with replacement characters for incomplete ones. */
  tokenText: string
  /** Text that is complete with this token; empty for control tokens. */
  newText: string
  /** Natural log-probability of the token. */
  logprob: number
  /** Time in the body, ms; 0 in step 0, which draws from what the prompt left behind. */
  bodyMs: number
  /** Time in LM head and draw, ms. */
  headMs: number
  /** Time since the step before ended, ms. */
  totalMs: number
  /** Bytes that were read back from the GPU. */
  readBackBytes: number
}

/** How a generation ended. */
export interface GenerationSummary {
  /** Tokens of the prompt. */
  promptTokens: number
  /** Time in the body for the prompt, ms. */
  promptMs: number
  /** Drawn tokens, the end token included. */
  drawnTokens: number
  /** Why it ended. */
  reason: 'end token' | 'maxTokens' | 'stopped'
  /** Text that was incomplete at the end. */
  lastText: string
}

/** What a generation reports while it runs. */
export interface GenerationEvents {
  /** Called once, before the prompt is read. */
  onHead(head: HeadInfo): void
  /** Called while the prompt is read. */
  onProgress(progress: WorkProgress): void
  /** Called for each token. */
  onStep(step: GeneratedStep): void
}

/** Verdict of the oracle on one token. */
export type Verdict = 'same' | 'within margin' | 'differs'

/** What the oracle found. */
export interface Verification {
  /** Verdicts, step by step; fewer than tokens were drawn where it was stopped. */
  verdicts: Verdict[]
  /** Tokens or log-probabilities that rounding cannot explain. */
  differences: number
  /** Other tokens than the oracle's that rounding within the margin can explain. */
  withinMargin: number
  /** The largest margin that was granted, nats. */
  margin: number
  /** The largest distance of a log-probability from the oracle's, nats. */
  maxLogprobError: number
}

/** Worker side of the page. */
export interface Engine {
  /** Looks at what the browser offers. */
  describe(): Promise<Environment>
  /**
   * Loads a model; the one before stays until it is complete.
   *
   * @param source - A file, or the address of one.
   * @param name - File name, for messages.
   * @param onProgress - Called with how far it is.
   * @returns The model.
   */
  load(
    source: Blob | string,
    name: string,
    onProgress: (progress: WorkProgress) => void,
  ): Promise<ModelInfo>
  /**
   * Generates text with the loaded model.
   *
   * @param request - What to generate.
   * @param events - Called while it runs.
   * @returns How it ended.
   */
  generate(request: GenerateRequest, events: GenerationEvents): Promise<GenerationSummary>
  /**
   * Recomputes the draws of the last generation by the float64 oracle.
   *
   * @param onProgress - Called with how far it is.
   * @returns What it found.
   */
  verify(onProgress: (progress: WorkProgress) => void): Promise<Verification>
  /** Ends what is running after its current token; does nothing otherwise. */
  stop(): void
}
