/**
 * Statistical tests with p-values: is a sampler's output distributed as it must be?
 *
 * Every test returns the probability of a result at least as extreme under the hypothesis that the sampler is right.
 * The project's rule is p > 1e-3 with fixed seeds and at least 1e6 draws.
 *
 * @module
 */
import { invalidArgument } from '../errors.ts'
import { regularizedGammaP, regularizedGammaQ } from './special-functions.ts'

/** Outcome of a statistical test. */
export interface TestStatistic {
  /** Value of the statistic; Infinity when something impossible was observed. */
  statistic: number
  /** Degrees of freedom of its chi-square distribution under the hypothesis. */
  degreesOfFreedom: number
  /** Probability of a statistic at least this large under the hypothesis, 0 to 1. */
  pValue: number
}

/** Options of the chi-square tests. */
export interface ChiSquareOptions {
  /**
   * Cells with a smaller expected count are pooled, rarest first, so that the chi-square distribution holds.
   * @defaultValue 5
   */
  minExpected?: number | undefined
}

const ACTION = 'test a distribution'

/**
 * Pearson's chi-square test: do observed counts follow the expected ones?
 *
 * A count in a cell of expectation 0 gives p = 0, whatever the other cells say.
 *
 * @param observed - Counts, one a cell.
 * @param expected - Expected counts or probabilities, >= 0, same length; scaled to the total of `observed`.
 * @param options - Pooling of rare cells.
 * @returns The statistic with (cells after pooling - 1) degrees of freedom.
 * @throws {RangeError} when lengths differ, nothing was observed or a value is negative.
 * @see Pearson (1900); Cochran (1954) for the pooling of small expectations
 */
export function chiSquareTest(
  observed: ArrayLike<number>,
  expected: ArrayLike<number>,
  options: ChiSquareOptions = {},
): TestStatistic {
  const cells = expectedCells(observed, expected, options)
  if (cells === null) return impossible(observed.length - 1)
  let statistic = 0
  for (const cell of cells) statistic += (cell.observed - cell.expected) ** 2 / cell.expected
  return fromChiSquare(statistic, cells.length - 1)
}

/**
 * Likelihood-ratio (G) test: like {@link chiSquareTest}, with statistic `2 * sum O ln(O / E)`.
 *
 * @param observed - Counts, one a cell.
 * @param expected - Expected counts or probabilities, >= 0, same length; scaled to the total of `observed`.
 * @param options - Pooling of rare cells.
 * @returns The statistic with (cells after pooling - 1) degrees of freedom.
 * @throws {RangeError} when lengths differ, nothing was observed or a value is negative.
 * @see Wilks (1938)
 */
export function gTest(
  observed: ArrayLike<number>,
  expected: ArrayLike<number>,
  options: ChiSquareOptions = {},
): TestStatistic {
  const cells = expectedCells(observed, expected, options)
  if (cells === null) return impossible(observed.length - 1)
  let statistic = 0
  for (const cell of cells) {
    if (cell.observed > 0) statistic += 2 * cell.observed * Math.log(cell.observed / cell.expected)
  }
  return fromChiSquare(Math.max(0, statistic), cells.length - 1)
}

/**
 * Two-sample chi-square test: do two lists of counts come from the same distribution, whatever it is?
 *
 * @param first - Counts of one sample, one a cell.
 * @param second - Counts of the other sample, same length.
 * @param options - Pooling of rare cells.
 * @returns The statistic with (cells after pooling - 1) degrees of freedom.
 * @throws {RangeError} when lengths differ or a sample is empty.
 */
export function chiSquareTwoSampleTest(
  first: ArrayLike<number>,
  second: ArrayLike<number>,
  options: ChiSquareOptions = {},
): TestStatistic {
  checkSameLength(first, second)
  const totals = [sumOf(first), sumOf(second)] as const
  const smaller = Math.min(...totals) / (totals[0] + totals[1])
  const cells: Cell[] = []
  for (let i = 0; i < first.length; i++) {
    const observed = first[i] as number
    const other = second[i] as number
    // The expectation in the smaller sample is the one that decides about pooling.
    if (observed + other > 0)
      cells.push({ observed, other, expected: (observed + other) * smaller })
  }
  const pooled = poolCells(cells, options.minExpected ?? 5)
  return independenceTest([pooled.map((cell) => cell.observed), pooled.map((cell) => cell.other)])
}

/**
 * Chi-square test of independence of two categorical variables.
 *
 * @param table - `[rows][columns]` joint counts; empty rows and columns are left out.
 * @returns The statistic with `(rows - 1) * (columns - 1)` degrees of freedom.
 * @throws {RangeError} when rows differ in length or the table is empty.
 * @see Pearson (1900), contingency tables
 */
export function independenceTest(table: readonly ArrayLike<number>[]): TestStatistic {
  const numColumns = table[0]?.length ?? 0
  const rowSums = table.map((row) => {
    if (row.length !== numColumns) throw invalidArgument(ACTION, 'table', 'rectangular', row)
    return sumOf(row)
  })
  const total = rowSums.reduce((sum, count) => sum + count, 0)
  const columnSums = Array.from({ length: numColumns }, (_, column) =>
    table.reduce((sum, row) => sum + (row[column] as number), 0),
  )
  let statistic = 0
  for (let row = 0; row < table.length; row++) {
    for (let column = 0; column < numColumns; column++) {
      const expected = ((rowSums[row] as number) * (columnSums[column] as number)) / total
      if (expected > 0) statistic += ((table[row]?.[column] as number) - expected) ** 2 / expected
    }
  }
  const usedRows = rowSums.filter((count) => count > 0).length
  const usedColumns = columnSums.filter((count) => count > 0).length
  return fromChiSquare(statistic, (usedRows - 1) * (usedColumns - 1))
}

/**
 * Exact two-sided test of one rare count against a Poisson expectation, for cells too rare for a chi-square.
 *
 * @param observed - Count, a whole number >= 0.
 * @param expected - Expected count, > 0.
 * @returns `statistic`: the count's distance from its expectation in standard deviations; twice the smaller tail as p.
 * @throws {RangeError} when an argument is out of range.
 * @see NIST DLMF 8.4.10: the Poisson distribution function is an incomplete gamma function
 */
export function poissonTest(observed: number, expected: number): TestStatistic {
  if (!Number.isInteger(observed) || observed < 0) {
    throw invalidArgument(ACTION, 'observed', 'a whole number >= 0', observed)
  }
  if (!(expected > 0)) throw invalidArgument(ACTION, 'expected', '> 0', expected)
  const atMost = regularizedGammaQ(observed + 1, expected)
  const atLeast = observed === 0 ? 1 : regularizedGammaP(observed, expected)
  return {
    statistic: (observed - expected) / Math.sqrt(expected),
    degreesOfFreedom: 1,
    pValue: Math.min(1, 2 * Math.min(atMost, atLeast)),
  }
}

/**
 * Survival function of the chi-square distribution.
 *
 * @param statistic - >= 0.
 * @param degreesOfFreedom - > 0.
 * @returns Probability of a value at least as large.
 * @throws {RangeError} when an argument is out of range.
 */
export function chiSquarePValue(statistic: number, degreesOfFreedom: number): number {
  return regularizedGammaQ(degreesOfFreedom / 2, statistic / 2)
}

function fromChiSquare(statistic: number, degreesOfFreedom: number): TestStatistic {
  // One cell alone cannot disagree with itself.
  if (degreesOfFreedom < 1) return { statistic, degreesOfFreedom: 0, pValue: 1 }
  return { statistic, degreesOfFreedom, pValue: chiSquarePValue(statistic, degreesOfFreedom) }
}

function impossible(degreesOfFreedom: number): TestStatistic {
  return { statistic: Infinity, degreesOfFreedom: Math.max(1, degreesOfFreedom), pValue: 0 }
}

interface Cell {
  observed: number
  /** Count of the second sample; 0 where there is one sample. */
  other: number
  expected: number
}

/** Cells with a positive expectation, pooled; `null` when something impossible was observed. */
function expectedCells(
  observed: ArrayLike<number>,
  expected: ArrayLike<number>,
  options: ChiSquareOptions,
): Cell[] | null {
  checkSameLength(observed, expected)
  const total = sumOf(observed)
  const weight = sumOf(expected)
  if (!(total > 0)) throw invalidArgument(ACTION, 'observed', 'counts of at least one draw', total)
  if (!(weight > 0))
    throw invalidArgument(ACTION, 'expected', 'positive in at least one cell', weight)
  const cells: Cell[] = []
  for (let i = 0; i < observed.length; i++) {
    const count = observed[i] as number
    const expectation = ((expected[i] as number) / weight) * total
    if (expectation > 0) cells.push({ observed: count, other: 0, expected: expectation })
    else if (count > 0) return null
  }
  return poolCells(cells, options.minExpected ?? 5)
}

/** Merges the rarest cells until every cell has at least `minExpected`. */
function poolCells(cells: readonly Cell[], minExpected: number): Cell[] {
  const pooled: Cell[] = []
  let open: Cell = { observed: 0, other: 0, expected: 0 }
  for (const cell of [...cells].sort((a, b) => a.expected - b.expected)) {
    open = addCells(open, cell)
    if (open.expected >= minExpected) {
      pooled.push(open)
      open = { observed: 0, other: 0, expected: 0 }
    }
  }
  // What is left over cannot stand alone: it joins the last cell.
  const last = pooled.pop() ?? { observed: 0, other: 0, expected: 0 }
  return [...pooled, addCells(last, open)]
}

function addCells(a: Cell, b: Cell): Cell {
  return {
    observed: a.observed + b.observed,
    other: a.other + b.other,
    expected: a.expected + b.expected,
  }
}

function checkSameLength(first: ArrayLike<number>, second: ArrayLike<number>): void {
  if (first.length !== second.length || first.length === 0) {
    throw new RangeError(
      `Cannot ${ACTION} as both lists of counts must have the same length, at least 1: ` +
        `current lengths are ${first.length} and ${second.length}`,
    )
  }
}

function sumOf(counts: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] as number
    if (!(count >= 0)) throw invalidArgument(ACTION, 'counts', '>= 0', count)
    sum += count
  }
  return sum
}
