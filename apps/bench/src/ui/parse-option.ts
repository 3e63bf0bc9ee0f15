/**
 * Parsers of option values: they check the form; ranges are checked by whoever uses the value.
 *
 * @module
 */
import { InvalidArgumentError } from 'commander'

/**
 * Parses a decimal number.
 *
 * @param text - What the user typed.
 * @returns The number, possibly out of the option's range.
 * @throws {InvalidArgumentError} when the text is not a number.
 */
export function parseNumber(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || Number.isNaN(value))
    throw new InvalidArgumentError('It must be a number.')
  return value
}

/**
 * Parses a whole number of any size, decimal or hexadecimal with `0x`.
 *
 * @param text - What the user typed.
 * @returns The number, possibly out of the option's range.
 * @throws {InvalidArgumentError} when the text is not a whole number.
 */
export function parseBigInt(text: string): bigint {
  if (!/^\s*(-?\d+|0x[0-9a-f]+)\s*$/i.test(text)) {
    throw new InvalidArgumentError('It must be a whole number, for example 42.')
  }
  return BigInt(text.trim())
}

/**
 * Collects a repeatable option.
 *
 * @param text - What the user typed.
 * @param previous - Values so far.
 * @returns The values with the new one behind them.
 */
export function collect(text: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), text]
}
