/**
 * What the backend promises beyond the conformance kit: batches of mixed rows, device memory, life cycle and errors. The
 * same list runs on a GPU and on host memory, in vitest and as a program without a test framework.
 */
import { addonChecks } from './addon.ts'
import { bufferChecks } from './buffers.ts'
import type { Check } from './context.ts'
import { errorChecks } from './errors.ts'
import { lifeCycleChecks } from './life-cycle.ts'
import { sessionChecks } from './sessions.ts'

export { runCheck } from './context.ts'

/** Every check. */
export const CHECKS: readonly Check[] = [
  ...sessionChecks,
  ...bufferChecks,
  ...lifeCycleChecks,
  ...errorChecks,
  ...addonChecks,
]
