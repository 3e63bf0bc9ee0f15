/**
 * Exact sampling of language-model tokens inside the LM-head matmul: the contract, the float64 oracle and the
 * embedded CPU backend. Runs unchanged in browsers, Node and Deno.
 *
 * @example
 * ```ts
 * import { createSampler } from '@flashsampling/core'
 *
 * const sampler = await createSampler({
 *   lmHead: { dtype: 'f32', vocabSize: 3, hiddenSize: 2, data: Float32Array.of(1, 0, 0, 1, 1, 1) },
 * })
 * const { tokenIds, logprobs } = await sampler.sample({
 *   hiddenStates: Float32Array.of(0.5, -0.25),
 *   params: { seed: 42n, temperature: 0.8, topP: 0.95 },
 * })
 * await sampler.dispose()
 * ```
 *
 * @module
 */
export type {
  Backend,
  BackendCapabilities,
  BackendFeature,
  BackendSession,
  RowBatch,
  SessionOptions,
} from './backend.ts'
export {
  type ChiSquareOptions,
  type ConformanceCaseResult,
  type ConformanceOptions,
  type ConformanceReport,
  caseFromLogits,
  chiSquarePValue,
  chiSquareTest,
  chiSquareTwoSampleTest,
  createBackendSource,
  createGenerator,
  createOracleSource,
  type DrawSource,
  type ExpectLike,
  type Generator,
  gTest,
  independenceTest,
  type MakeCaseOptions,
  makeCase,
  type NBitsOptions,
  NOISE_ERROR,
  poissonTest,
  type RowReference,
  referenceRow,
  runConformance,
  runNoiseStatistics,
  runStatistics,
  type StatisticalResult,
  type StatisticsOptions,
  type StatisticsReport,
  splitHead,
  type TestCase,
  type TestStatistic,
} from './conformance/index.ts'
export type { CpuBuffer } from './cpu/arena.ts'
export { type CpuBackend, type CpuBackendOptions, createCpuBackend } from './cpu/cpu-backend.ts'
export {
  type BackendAttempt,
  BackendUnavailableError,
  CudaError,
  DisposedError,
  FlashSamplingError,
  type FlashSamplingErrorCode,
  invalidArgument,
  invalidType,
  OutOfMemoryError,
  RowError,
  UnsupportedDeviceError,
  UnsupportedFeatureError,
  WorkerFailedError,
} from './errors.ts'
export {
  createOnlineSampler,
  type GroupedDraw,
  type GroupSummary,
  mergeDistributed,
  type OnlineSampler,
  sampleGroups,
  summarizeGroup,
} from './groups.ts'
export { bf16ToNumber, f16ToNumber } from './half-floats.ts'
export { normalizeHiddenStates } from './hidden-states.ts'
export {
  type CheckedShard,
  normalizeLmHead,
  readWeightRows,
  rowByteLength,
  STORAGE_FORMATS,
  type StorageFormat,
} from './lm-head.ts'
export {
  type Candidate,
  EMPTY_CANDIDATE,
  EMPTY_LOG_MASS,
  type LogMass,
  logMassOf,
  logSumExp,
  mergeCandidates,
  mergeLogMass,
} from './merge.ts'
export {
  deriveRowKey,
  gumbelFromBits,
  type NoiseDomain,
  type NoiseKey,
  type NoiseScheme,
  noiseBitsFromRowKey,
  tokenNoiseBits,
  uniformFromBits,
} from './noise.ts'
export { type OracleDraw, type OracleResult, sampleFromLogits } from './oracle.ts'
export { type LogitEdit, normalizeBatchParams, normalizeParams, type RowParams } from './params.ts'
export { philox2x32, philox4x32 } from './philox.ts'
export {
  ALL_IDS,
  type ListEntry,
  type PassAnswer,
  type PassRequest,
  type RankAnswer,
  type RankPosition,
  type RankRequest,
  type RankSum,
  type RowProcess,
  type SampleAnswer,
  type SampleRequest,
} from './rows/passes.ts'
export { type FailedRows, throwRowErrors } from './rows/row-errors.ts'
export { processRow, type RowOutcome } from './rows/row-process.ts'
export { type CreateSamplerOptions, createSampler } from './sampler.ts'
export { transformLogits } from './transform.ts'
export type {
  BackendBuffer,
  DType,
  GgufFormat,
  HiddenStates,
  LmHead,
  LmHeadShard,
  LogprobsMode,
  NBitsFormat,
  QuantizationBlocks,
  QuantizedFormat,
  SampleOptions,
  SampleResult,
  Sampler,
  SampleStats,
  SamplingParams,
  TopLogprobs,
} from './types.ts'
