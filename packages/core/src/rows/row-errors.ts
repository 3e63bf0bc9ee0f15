/**
 * Errors of rows without a valid draw, worded once for every backend.
 *
 * @module
 */
import { RowError } from '../errors.ts'

/** Rows of a batch without a valid draw, 0-based, each list ascending. */
export interface FailedRows {
  /** Rows with a logit that is NaN or +infinite. */
  invalid?: readonly number[]
  /** Rows whose tokens are all masked. */
  masked?: readonly number[]
}

/**
 * Throws where a batch has rows without a valid draw; invalid logits come first.
 *
 * @param failed - The rows, as far as there are any.
 * @param options - What the backend knows beside: `found`, the values among the logits (default `NaN or +Infinity`);
 *   `remedy`, what to look at (default: the hidden states and the weights).
 * @throws {RowError} with code `INVALID_LOGITS` or `ALL_TOKENS_MASKED`, naming the rows.
 */
export function throwRowErrors(
  failed: FailedRows,
  options: { found?: string; remedy?: string } = {},
): void {
  const { invalid = [], masked = [] } = failed
  if (invalid.length > 0) {
    const { found = 'NaN or +Infinity', remedy = 'check the hidden states and the weights' } =
      options
    throw new RowError(
      'INVALID_LOGITS',
      `Cannot sample tokens as logits of row ${invalid.join(', ')} are ${found}: ${remedy}`,
      invalid,
    )
  }
  if (masked.length > 0) {
    throw new RowError(
      'ALL_TOKENS_MASKED',
      `Cannot sample tokens as every token of row ${masked.join(', ')} is masked: allow at least one token`,
      masked,
    )
  }
}
