/**
 * Order statistics of samples.
 *
 * @module
 */

/** Median and spread of a list of samples, in the samples' unit. */
export interface Summary {
  /** 50th percentile. */
  median: number
  /** 10th percentile. */
  p10: number
  /** 90th percentile. */
  p90: number
  /** Number of samples. */
  count: number
}

/**
 * Gives a percentile with linear interpolation between the two nearest samples.
 *
 * @param sorted - At least one sample, ascending.
 * @param share - 0 to 1; 0.5 is the median.
 * @returns The percentile, in the samples' unit.
 * @throws {RangeError} when there is no sample or the share is out of range.
 * @see Hyndman and Fan, "Sample Quantiles in Statistical Packages", definition 7
 */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) {
    throw new RangeError(
      'Cannot take a percentile as "sorted" must be non-empty: current length is 0',
    )
  }
  if (!(share >= 0 && share <= 1)) {
    throw new RangeError(
      `Cannot take a percentile as "share" must be from 0 to 1: current value is ${share}`,
    )
  }
  const rank = share * (sorted.length - 1)
  const below = Math.floor(rank)
  const low = sorted[below] as number
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number
  return low + (high - low) * (rank - below)
}

/**
 * Summarizes samples by median, 10th and 90th percentile.
 *
 * @param samples - At least one sample, in any order; not changed.
 * @returns The summary, in the samples' unit.
 * @throws {RangeError} when there is no sample.
 */
export function summarize(samples: ArrayLike<number>): Summary {
  const sorted = Float64Array.from(samples).sort()
  return {
    median: percentile(sorted, 0.5),
    p10: percentile(sorted, 0.1),
    p90: percentile(sorted, 0.9),
    count: sorted.length,
  }
}
