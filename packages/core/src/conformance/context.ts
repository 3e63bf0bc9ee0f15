/**
 * What every conformance case works with: the backend under test, samplers that are disposed, skips by capability.
 *
 * @module
 */
import type { Backend, BackendFeature } from '../backend.ts'
import type { NoiseScheme } from '../noise.ts'
import { createSampler } from '../sampler.ts'
import type { LmHead, SampleResult, Sampler, SamplingParams } from '../types.ts'
import type { TestCase } from './heads.ts'
import { Recorder, SkipCase } from './recorder.ts'
import { referenceRow } from './reference.ts'

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
