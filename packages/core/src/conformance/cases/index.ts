/**
 * All conformance cases, family by family.
 *
 * @module
 */
import type { ConformanceCase } from '../context.ts'
import { EDGE_CASES } from './edges.ts'
import { ERROR_CASES } from './errors.ts'
import { FILTER_CASES } from './filters.ts'
import { GOLDEN_CASES } from './golden-cases.ts'
import { INVARIANCE_CASES } from './invariance.ts'
import { LIFE_CYCLE_CASES } from './life-cycle.ts'
import { LOGPROB_CASES } from './logprobs.ts'
import { NOISE_CASES } from './noise-cases.ts'
import { PARAMETER_CASES } from './parameters.ts'
import { STORAGE_CASES } from './storage-cases.ts'

/** Every case, in the order of a run. */
export const CONFORMANCE_CASES: readonly ConformanceCase[] = [
  ...GOLDEN_CASES,
  ...NOISE_CASES,
  ...PARAMETER_CASES,
  ...FILTER_CASES,
  ...LOGPROB_CASES,
  ...STORAGE_CASES,
  ...INVARIANCE_CASES,
  ...EDGE_CASES,
  ...ERROR_CASES,
  ...LIFE_CYCLE_CASES,
]
