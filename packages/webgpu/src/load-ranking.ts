/**
 * Loads what draws by rank need: topK, topP, minP and top log-probabilities. A page that draws without them does not
 * download it.
 *
 * @module
 */
import { ModuleLoadError } from './errors.ts'

/** What is loaded. */
export type Ranking = typeof import('./ranking/index.ts')

/**
 * Loads it; calls after the first get the same module.
 *
 * @returns The module.
 * @throws {ModuleLoadError} when its file does not load; a later call may.
 */
export async function loadRanking(): Promise<Ranking> {
  try {
    return await import('./ranking/index.ts')
  } catch (cause) {
    throw new ModuleLoadError('topK, topP, minP or top log-probabilities', { cause })
  }
}
