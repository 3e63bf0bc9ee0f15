/**
 * The conformance kit: the suite every backend passes, its inputs, and the statistics of draws.
 *
 * @module
 */

export { createBackendSource, createOracleSource, type DrawSource } from './draw-source.ts'
export { createGenerator, type Generator } from './generator.ts'
export {
  caseFromLogits,
  type MakeCaseOptions,
  makeCase,
  splitHead,
  type TestCase,
} from './heads.ts'
export type { NBitsOptions } from './nbits-weights.ts'
export { NOISE_ERROR, type RowReference, referenceRow } from './reference.ts'
export { type ConformanceOptions, runConformance } from './run-conformance.ts'
export {
  runNoiseStatistics,
  runStatistics,
  type StatisticalResult,
  type StatisticsOptions,
  type StatisticsReport,
} from './run-statistics.ts'
export {
  type ChiSquareOptions,
  chiSquarePValue,
  chiSquareTest,
  chiSquareTwoSampleTest,
  gTest,
  independenceTest,
  poissonTest,
  type TestStatistic,
} from './statistics.ts'
export type { ConformanceCaseResult, ConformanceReport, ExpectLike } from './types.ts'
