/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The public data types: parameters, LM heads and results, with their shapes and units.
 *
 * @module
 */
import type { NoiseScheme } from './noise.ts'

/** Storage type of dense weights and hidden states; accumulation is always fp32 (float64 in the oracle). */
export type DType = 'f32' | 'f16' | 'bf16'

/**
 * Storage of an LM head in 4-bit or 8-bit weights with scales and zero points beside them, see
 * {@link QuantizationBlocks}: the byte layout of ONNX `MatMulNBits` and, with a zero point of 7, of MLC `q4f16_1`.
 * A weight is `scale * (quant - zeroPoint)`, rounded to f32 once.
 */
export type NBitsFormat = 'nbits4' | 'nbits8'

/**
 * Block-quantised storage of an LM head, in the byte layout of GGUF (ggml) files.
 *
 * | format | weights a block | bytes a block | value |
 * |---|---|---|---|
 * | `q8_0` | 32 | 34 | `d * q` |
 * | `q4_0` | 32 | 18 | `d * (q - 8)` |
 * | `q4_1` | 32 | 20 | `d * q + m` |
 * | `q6_k` | 256 | 210 | `d * scale * (q - 32)` |
 */
export type GgufFormat = 'q8_0' | 'q4_0' | 'q4_1' | 'q6_k'

/** Block-quantised storage of an LM head. */
export type QuantizedFormat = GgufFormat | NBitsFormat

/** Scales and zero points of an `nbits4` or `nbits8` head. */
export interface QuantizationBlocks {
  /** Consecutive weights of a row that share a scale: 16, 32, 64, 128 or 256. The last block of a row may be cut short. */
  blockSize: number
  /** `[vocabSize, ceil(hiddenSize / blockSize)]`, row-major: f32, or f16 as bit patterns in a `Uint16Array`. */
  scales: Float32Array | Uint16Array
  /**
   * Quants that stand for 0. A number serves every block (MLC: 7). A `Uint8Array` has one for each block,
   * `[vocabSize, ceil(ceil(hiddenSize / blockSize) * bits / 8)]` bytes, of two nibbles the lower one first.
   * @defaultValue 8 for `nbits4`, 128 for `nbits8`
   */
  zeroPoints?: number | Uint8Array | undefined
}

/** Under which distribution log-probabilities are reported. */
export type LogprobsMode = 'transformed' | 'raw'

/** Parameters of one row. A single object may serve every row of a batch; an array gives one per row. */
export interface SamplingParams {
  /** Divides the logits, >= 0, dimensionless; 0 is greedy: the argmax of the logit. @defaultValue 1 */
  temperature?: number | undefined
  /** Keeps exactly the k highest logits (lowest tokenId on ties); 0 is off. @defaultValue 0 */
  topK?: number | undefined
  /** Keeps a token while the probability mass strictly before it is < p (one at least stays), 0 to 1; 1 is off. @defaultValue 1 */
  topP?: number | undefined
  /** Keeps logits >= max + ln(minP), 0 <= minP <= 1; 0 is off. @defaultValue 0 */
  minP?: number | undefined
  /** Request seed, u64. The caller never reuses a (seed, position, drawIndex) for another step. */
  seed: bigint
  /** Step of this request, u64. @defaultValue 0 */
  position?: bigint | number | undefined
  /** First draw index of the row, u32. @defaultValue 0 */
  drawIndex?: number | undefined
  /** Draws for this row, at `drawIndex`, `drawIndex + 1`, ...; 1 to 1024. @defaultValue 1 */
  numSamples?: number | undefined
  /** Added to the logit of each named token; finite, or -Infinity to forbid the token. @defaultValue none */
  logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number> | undefined
  /**
   * Tokens that may be drawn: an `Int32Array` is a bitmask of at least ceil(vocabSize / 32) words (bit 1 = allowed,
   * the layout of XGrammar and vLLM); any other iterable lists token ids. @defaultValue all tokens
   */
  allowedTokens?: Int32Array | Iterable<number> | undefined
  /** > 0; divides positive and multiplies negative logits of tokens in prompt or output. @defaultValue 1 */
  repetitionPenalty?: number | undefined
  /** Subtracted once from tokens that occur in the output, logits. @defaultValue 0 */
  presencePenalty?: number | undefined
  /** Subtracted per occurrence in the output, logits. @defaultValue 0 */
  frequencyPenalty?: number | undefined
  /** Prompt token ids, for `repetitionPenalty`. @defaultValue none */
  promptTokenIds?: Iterable<number> | undefined
  /** Token ids generated so far, for the penalties. @defaultValue none */
  outputTokenIds?: Iterable<number> | undefined
  /** How many of the most likely tokens to report with their log-probabilities, 0 to 1024. @defaultValue 0 */
  logprobs?: number | undefined
  /**
   * `transformed`: log-probabilities after bias, penalties, mask and temperature, before the filters;
   * `raw`: before all of them (vLLM's default). @defaultValue 'transformed'
   */
  logprobsMode?: LogprobsMode | undefined
}

/** One contiguous piece of an LM head: rows `[vocabStart, vocabStart + vocabSize)` of the vocabulary. */
export interface LmHeadShard {
  /** Storage of `data`. */
  dtype: DType | QuantizedFormat
  /** Rows of this piece: tokens. */
  vocabSize: number
  /** Columns: width of a hidden state, elements. Quantised formats need a multiple of their block. */
  hiddenSize: number
  /**
   * `[vocabSize, hiddenSize]`, row-major, no padding between rows. `f32`: `Float32Array`; `f16`, `bf16`: `Uint16Array`
   * of bit patterns; quantised: `Uint8Array` of GGUF blocks. `nbits4`, `nbits8`: `Uint8Array` of the quants in order of
   * columns, of two nibbles the lower one first; the last block of a row takes its whole room. Or a buffer that a
   * backend owns.
   */
  data: Float32Array | Uint16Array | Uint8Array | BackendBuffer
  /** Scales and zero points; `nbits4` and `nbits8` have them, other formats have none. */
  quantization?: QuantizationBlocks | undefined
  /** Global token id of the first row. @defaultValue 0 */
  vocabStart?: number | undefined
}

/** An LM head: one matrix, or a list of vocabulary shards that do not overlap. */
export type LmHead = LmHeadShard | { shards: readonly LmHeadShard[] }

/** Memory that a backend owns and a head can live in without another copy. */
export interface BackendBuffer {
  /** Name of the owning backend. */
  readonly backend: string
  /** Size of the buffer. */
  readonly byteLength: number
}

/** Last hidden states of a batch. */
export interface HiddenStates {
  /** `[batchSize, hiddenSize]`, row-major; `f16` and `bf16` as bit patterns in a `Uint16Array`. */
  data: Float32Array | Uint16Array
  /** Storage of `data`. */
  dtype: DType
  /** Rows. */
  batchSize: number
}

/** The most likely tokens of one row, most likely first. */
export interface TopLogprobs {
  /** Token ids, at most `logprobs` of them. */
  tokenIds: Int32Array
  /** Natural log-probabilities, same order. */
  logprobs: Float32Array
}

/** What the certified filters did, for measurement. */
export interface SampleStats {
  /** Rows whose certificate failed in the first pass, so that an exact further pass over the head was made. */
  secondPassRows: number
  /** Rounds of passes over the head: 1 where no row needed more. */
  passes: number
  /** Memory that the backend holds beside the weights, bytes. */
  workspaceBytes: number
}

/** Result of one call of {@link Sampler.sample}. */
export interface SampleResult {
  /** Drawn tokens; row r owns entries `rowOffsets[r]` to `rowOffsets[r + 1]`. `[batchSize]` when every row draws once. */
  tokenIds: Int32Array
  /** Natural log-probability of each drawn token, same layout as `tokenIds`. */
  logprobs: Float32Array
  /** `[batchSize + 1]`, start of each row in `tokenIds`. */
  rowOffsets: Int32Array
  /** One entry per row; `null` where the row asked for none. */
  topLogprobs: (TopLogprobs | null)[]
  /** What the call did. */
  stats: SampleStats
}

/** Options of {@link Sampler.sample}. */
export interface SampleOptions {
  /** `[batchSize, hiddenSize]` f32 row-major, or a record that names dtype and batch size. */
  hiddenStates: Float32Array | HiddenStates
  /** One object for every row, or one per row. */
  params: SamplingParams | readonly SamplingParams[]
}

/** Draws tokens from an LM head. Create with `createSampler`; owns its buffers until disposed. */
export interface Sampler extends AsyncDisposable {
  /** Tokens in the head. */
  readonly vocabSize: number
  /** Width of a hidden state, elements. */
  readonly hiddenSize: number
  /** Name of the backend that serves the calls. */
  readonly backend: string
  /** Noise scheme of every draw. */
  readonly noiseScheme: NoiseScheme
  /**
   * Draws one or more tokens for every row.
   *
   * Calls may overlap: they run one after the other, in order.
   *
   * @param options - Hidden states and parameters.
   * @returns Token ids and log-probabilities.
   * @throws {TypeError} when an argument has a wrong type.
   * @throws {RangeError} when an argument is out of range.
   * @throws {RowError} when a row has NaN or +infinite logits, or every token masked; names the rows.
   * @throws {DisposedError} after disposal.
   */
  sample(options: SampleOptions): Promise<SampleResult>
  /** Frees weights, workspace and threads. Further calls do nothing. */
  dispose(): Promise<void>
}
