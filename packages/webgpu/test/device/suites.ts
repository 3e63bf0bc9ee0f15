/** Everything that is checked on a device, for Node, pages and machines with a GPU. */
import { runConformance, runStatistics } from '@flashsampling/core'
import { DeviceState } from '../../src/device-state.ts'
import { createWebGpuBackend } from '../../src/index.ts'
import { TUNING_CLASSES } from '../../src/tuning.ts'
import { type DeviceWish, openDevice } from '../support/open-device.ts'
import { type Check, CheckContext } from './check.ts'
import { CPU_CHECKS } from './cpu-checks.ts'
import { ERROR_CHECKS } from './error-checks.ts'
import { NOISE_CHECKS } from './noise-checks.ts'
import { SAMPLER_CHECKS } from './sampler-checks.ts'
import { WEIGHT_CHECKS } from './weight-checks.ts'

/** All checks beside the conformance kit. */
export const CHECKS: readonly Check[] = [
  ...NOISE_CHECKS,
  ...SAMPLER_CHECKS,
  ...ERROR_CHECKS,
  ...WEIGHT_CHECKS,
  ...CPU_CHECKS,
]

/** One outcome, as a line of JSON. */
export interface SuiteResult {
  name: string
  status: 'passed' | 'failed' | 'skipped'
  detail?: string | undefined
  durationMs: number
}

/** What to run. */
export interface SuiteOptions {
  /** `probe` only says which adapter there is. */
  suite: 'conformance' | 'checks' | 'statistics' | 'probe'
  /** Only names that contain this text. */
  filter?: string | undefined
  /** Shortens the conformance kit. */
  quick?: boolean | undefined
  /** Draws of the statistics. */
  draws?: number | undefined
  /** Names that need not run again. */
  skip?: readonly string[] | undefined
  wish?: DeviceWish | undefined
  /** Class of adapters whose shapes the kernels take in place of their own. */
  tuning?: string | undefined
}

/**
 * Runs a suite.
 *
 * @param options - What to run.
 * @param emit - Called after each part.
 */
export async function runSuite(
  options: SuiteOptions,
  emit: (result: SuiteResult) => void,
): Promise<void> {
  const { suite, filter = '', quick = false, wish = {} } = options
  if (suite === 'checks') {
    const skipped = new Set(options.skip)
    for (const check of CHECKS) {
      if (check.name.includes(filter) && !skipped.has(check.name)) emit(await runCheck(check, wish))
    }
    return
  }
  const { device, adapter } = await openDevice(wish)
  if (suite === 'probe') {
    const { vendor, architecture, description, subgroupMinSize, subgroupMaxSize } = adapter.info
    const subgroups = `subgroups ${subgroupMinSize} to ${subgroupMaxSize}`
    const detail = `${vendor} ${architecture} ${description}; ${subgroups}; ${[...adapter.features].join(' ')}`
    emit({ name: 'adapter', status: 'passed', detail, durationMs: 0 })
    device.destroy()
    return
  }
  try {
    const backend = createWebGpuBackend(device)
    if (options.tuning !== undefined) {
      const shapes = TUNING_CLASSES.find(({ name }) => name === options.tuning)
      const { subgroup } = DeviceState.of('test', device).tuning
      Object.assign(DeviceState.of('test', device).tuning, shapes, { subgroup })
    }
    if (suite === 'conformance') {
      await runConformance(backend, {
        filter,
        quick,
        onCase: ({ name, status, detail, reason, durationMs }) =>
          emit({ name, status, detail: detail ?? reason, durationMs }),
      })
      return
    }
    const report = await runStatistics(backend, { draws: options.draws, filter })
    for (const { name, status, reason, pValue, durationMs } of report.tests) {
      emit({ name, status, detail: reason ?? `p = ${pValue}`, durationMs })
    }
  } finally {
    device.destroy()
  }
}

async function runCheck(check: Check, wish: DeviceWish): Promise<SuiteResult> {
  const context = new CheckContext(wish)
  const start = performance.now()
  const { name } = check
  try {
    await check.run(context)
    if (context.uncaptured.length > 0) {
      throw new Error(`errors that nobody caught: ${context.uncaptured.join('; ')}`)
    }
    const detail = context.notes.length > 0 ? context.notes.join('; ') : undefined
    return { name, status: 'passed', detail, durationMs: performance.now() - start }
  } catch (error) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { name, status: 'failed', detail, durationMs: performance.now() - start }
  } finally {
    await context.dispose()
  }
}
