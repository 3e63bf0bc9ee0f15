/**
 * Reads lists of names and numbers from the command line.
 *
 * @module
 */
import { type BenchDType, DTYPES, SHAPES, VARIANTS, type Variant } from '../cases/shapes.ts'
import type { ContenderFamily, ContenderName } from '../contenders/contender.ts'
import { UsageError } from '../ui/user-error.ts'
import type { Selection } from './plan.ts'
import type { RunFlags } from './run-flags.ts'

const MAX_BATCH_SIZE = 256
const MAX_THREADS = 64

/**
 * Reads which shapes, formats, batch sizes, variants and contenders are wanted.
 *
 * @param flags - Options of the command line.
 * @param families - Where contenders come from.
 * @returns The selection; an absent option stays absent.
 * @throws {UsageError} when a name does not exist or a number is out of range.
 */
export function readSelection(flags: RunFlags, families: readonly ContenderFamily[]): Selection {
  return {
    cases: readNames(
      '--case',
      flags.case,
      SHAPES.map(({ name }) => name),
    ),
    dtypes: readNames<BenchDType>('--dtype', flags.dtype, DTYPES),
    batchSizes: readNumbers('--batch', flags.batch, MAX_BATCH_SIZE),
    variants: readNames<Variant>('--variant', flags.variant, VARIANTS),
    contenders: readNames<ContenderName>(
      '--contenders',
      flags.contenders,
      families.flatMap(({ names }) => names),
    ),
  }
}

/**
 * Reads the numbers of threads.
 *
 * @param text - Value of `--threads`.
 * @param processors - Processors of the machine.
 * @returns Ascending; by default 1 and the number of processors.
 * @throws {UsageError} when a number is out of range.
 */
export function readThreads(text: string | undefined, processors: number): number[] {
  const threads = readNumbers('--threads', text, MAX_THREADS) ?? [
    1,
    Math.min(processors, MAX_THREADS),
  ]
  return [...new Set(threads)].sort((a, b) => a - b)
}

function readNames<T extends string>(
  option: string,
  text: string | undefined,
  known: readonly T[],
): T[] | undefined {
  return splitList(option, text)?.map((name) => {
    const found = known.find((candidate) => candidate === name)
    if (found === undefined) {
      throw new UsageError(
        `Cannot run the benchmark as "${option}" must list names among ${known.join(', ')}: current value is "${name}"`,
      )
    }
    return found
  })
}

function readNumbers(option: string, text: string | undefined, max: number): number[] | undefined {
  return splitList(option, text)?.map((item) => {
    const value = Number(item)
    if (!Number.isInteger(value) || value < 1 || value > max) {
      throw new UsageError(
        `Cannot run the benchmark as "${option}" must list whole numbers from 1 to ${max}: current value is "${item}"`,
      )
    }
    return value
  })
}

function splitList(option: string, text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined
  const items = text.split(',').map((item) => item.trim())
  if (items.some((item) => item === '')) {
    throw new UsageError(
      `Cannot run the benchmark as "${option}" must be a list separated by commas: current value is "${text}"`,
    )
  }
  return items
}
