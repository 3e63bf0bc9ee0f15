/**
 * What every conformance case works with: the backend under test, samplers that are disposed, skips by capability.
 *
 * @module
 */
import type { Backend, BackendCapabilities, BackendFeature } from '../backend.ts'
import type { NoiseScheme } from '../noise.ts'
import { createSampler } from '../sampler.ts'
import type {
  DType,
  LmHead,
  QuantizedFormat,
  SampleResult,
  Sampler,
  SamplingParams,
} from '../types.ts'
import { caseFromLogits, type MakeCaseOptions, makeCase, type TestCase } from './heads.ts'
import { Recorder, SkipCase } from './recorder.ts'
import { referenceRow } from './reference.ts'

/**
 * Storage in which a head can carry any fp32 logit exactly.
 *
 * @param capabilities - What the backend can do.
 * @returns `f32` where it is served, else `bf16`; `null` where neither is.
 */
export function exactDType(capabilities: BackendCapabilities): 'f32' | 'bf16' | null {
  return (['f32', 'bf16'] as const).find((dtype) => capabilities.dtypes.includes(dtype)) ?? null
}

/** One fact about a backend, with the code that checks it. */
export interface ConformanceCase {
  /** Family and fact, for example `ties: gives the lowest token id`. */
  name: string
  /**
   * Checks the fact.
   *
   * @param context - Backend and recorder of this case.
   */
  run(context: CaseContext): Promise<void>
}

/** Backend and recorder of one running case. */
export class CaseContext {
  /** The backend under test. */
  readonly backend: Backend
  /** Whether to shorten cases that loop. */
  readonly quick: boolean
  /** Where findings go. */
  readonly check: Recorder = new Recorder()
  readonly #samplers: Sampler[] = []

  /**
   * @param backend - The backend under test.
   * @param quick - Whether to shorten cases that loop.
   */
  constructor(backend: Backend, quick: boolean) {
    this.backend = backend
    this.quick = quick
  }

  /**
   * Storage of heads whose logits must be exact; skips the case where the backend has none.
   *
   * @returns `f32` where it is served, else `bf16`.
   */
  get exactDType(): 'f32' | 'bf16' {
    const { capabilities } = this.backend
    const dtype = exactDType(capabilities)
    if (dtype === null) {
      throw new SkipCase(
        `the backend stores heads as ${capabilities.dtypes.join(', ')}: exact logits need f32 or bf16`,
      )
    }
    return dtype
  }

  /**
   * Makes a case for this backend: a head in a storage that it serves, and logits of the hidden states as it rounds
   * them.
   *
   * @param options - As for `makeCase()`.
   * @returns The inputs.
   */
  makeCase(options: MakeCaseOptions): TestCase {
    const { dtypes, hiddenStatesDtype, accumulationError } = this.backend.capabilities
    const preferred: (DType | QuantizedFormat)[] = ['f32', 'bf16', 'f16']
    const dtype =
      options.dtype ?? preferred.find((served) => dtypes.includes(served)) ?? dtypes[0] ?? 'f32'
    const isRounded = hiddenStatesDtype === 'head' && (dtype === 'f16' || dtype === 'bf16')
    return makeCase({
      ...options,
      dtype,
      hiddenStatesDtype: isRounded ? dtype : 'f32',
      accumulationError,
    })
  }

  /**
   * Makes a case from explicit logits in a storage that the backend serves.
   *
   * @param logits - `[vocabSize]`, values that fp32 holds exactly.
   * @param batchSize - Rows, all alike.
   * @returns The inputs.
   */
  caseFromLogits(logits: ArrayLike<number>, batchSize = 1): TestCase {
    return caseFromLogits(logits, batchSize, 8, this.exactDType)
  }

  /**
   * Creates a sampler that lives until the case ends.
   *
   * @param lmHead - The head.
   * @param noiseScheme - Noise of every draw.
   * @returns The sampler.
   */
  async sampler(lmHead: LmHead, noiseScheme: NoiseScheme = 'flash'): Promise<Sampler> {
    const sampler = await createSampler({ lmHead, backend: this.backend, noiseScheme })
    this.#samplers.push(sampler)
    return sampler
  }

  /**
   * Draws for every row of a case and compares with the oracle.
   *
   * @param testCase - Inputs.
   * @param params - One object, or one per row.
   * @param options - Sampler to use (default: a new one), noise scheme and a name for findings.
   * @returns The backend's result.
   */
  async compare(
    testCase: TestCase,
    params: SamplingParams | readonly SamplingParams[],
    options: { sampler?: Sampler; noiseScheme?: NoiseScheme; what?: string } = {},
  ): Promise<SampleResult> {
    const { noiseScheme = 'flash', what = 'batch' } = options
    const sampler = options.sampler ?? (await this.sampler(testCase.lmHead, noiseScheme))
    const result = await sampler.sample({ hiddenStates: testCase.hiddenStates, params })
    const rowParams = (row: number): SamplingParams =>
      Array.isArray(params) ? (params[row] as SamplingParams) : (params as SamplingParams)
    const references = testCase.logits.map((_, row) =>
      referenceRow(testCase, row, rowParams(row), noiseScheme),
    )
    this.check.rows(result, references, what)
    return result
  }

  /**
   * Rows that one call may have.
   *
   * @param wanted - Rows that the case would like.
   * @returns At most the backend's `maxBatchSize`.
   */
  batchSize(wanted: number): number {
    return Math.min(wanted, this.backend.capabilities.maxBatchSize)
  }

  /**
   * Skips the case unless the backend serves all of these.
   *
   * @param features - Transforms and filters that the case uses.
   */
  needs(...features: BackendFeature[]): void {
    const missing = features.filter((feature) => !this.serves(feature))
    this.skipIf(missing.length > 0, `the backend does not serve ${missing.join(', ')}`)
  }

  /**
   * Tells whether the backend serves a transform or filter.
   *
   * @param feature - What to look for.
   * @returns Whether it is among the capabilities.
   */
  serves(feature: BackendFeature): boolean {
    return this.backend.capabilities.features.includes(feature)
  }

  /**
   * Skips the case with a reason.
   *
   * @param condition - Whether to skip.
   * @param reason - Why; shown in the report.
   */
  skipIf(condition: boolean, reason: string): void {
    if (condition) throw new SkipCase(reason)
  }

  /** Frees the samplers of the case. */
  async dispose(): Promise<void> {
    for (const sampler of this.#samplers) await sampler.dispose()
  }
}
