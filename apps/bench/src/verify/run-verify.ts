/**
 * Runs the conformance kit and the statistics on every backend.
 *
 * @module
 */
import { runConformance, runNoiseStatistics, runStatistics } from '@flashsampling/core'
import { readEnvironment } from '../harness/environment.ts'
import { Progress, type ProgressStream } from '../ui/progress.ts'
import type { VerifiedBackend } from './backends.ts'
import type { BackendVerification, VerifyReport } from './report.ts'

/** Options of {@link runVerify}. */
export interface VerifyOptions {
  /** What to check. */
  backends: readonly VerifiedBackend[]
  /** Shortens cases. */
  quick: boolean
  /** Draws of each chi-square test. */
  draws: number
  /** Checks only what contains this text in its name; all when empty. */
  filter: string
  /** Where progress is drawn. @defaultValue process.stderr */
  stream?: ProgressStream | undefined
}

/**
 * Checks every backend, with progress.
 *
 * @param options - Backends and extent of the checks.
 * @returns What was found.
 */
export async function runVerify(options: VerifyOptions): Promise<VerifyReport> {
  const { quick, draws, filter, stream } = options
  const { device, driver, versions, commit } = readEnvironment()
  const takenAt = new Date().toISOString()
  const backends: BackendVerification[] = []
  for (const { name, backend, reason } of options.backends) {
    if (backend === null) {
      backends.push({ name, unavailable: reason ?? 'unknown reason' })
      continue
    }
    const conformance = await withProgress(`${name}: conformance`, stream, (onStep) =>
      runConformance(backend, { quick, filter, onCase: (_, done, total) => onStep(done, total) }),
    )
    const statistics = await withProgress(`${name}: statistics`, stream, (onStep) =>
      runStatistics(backend, { draws, filter, onTest: (_, done, total) => onStep(done, total) }),
    )
    backends.push({ name, conformance, statistics })
  }
  const noise = await withProgress('noise and grouped forms', stream, (onStep) =>
    runNoiseStatistics({ draws, filter, onTest: (_, done, total) => onStep(done, total) }),
  )
  return { schema: 1, device, driver, versions, commit, takenAt, quick, draws, backends, noise }
}

/** Progress whose total is known once the first step is done. */
async function withProgress<T>(
  label: string,
  stream: ProgressStream | undefined,
  work: (onStep: (done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  const bars: Progress[] = []
  try {
    const result = await work((done, total) => {
      if (bars.length === 0) bars.push(new Progress({ label, total, stream }))
      bars[0]?.update(done)
    })
    bars[0]?.done()
    return result
  } finally {
    bars[0]?.stop()
  }
}
