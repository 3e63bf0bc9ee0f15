/**
 * Collects what one conformance case finds.
 *
 * @module
 */
import type { SampleResult } from '../types.ts'
import type { RowReference } from './reference.ts'
import type { ConformanceCaseResult } from './types.ts'

const MAX_FINDINGS = 8

/** Thrown by a case that does not apply to the backend. */
export class SkipCase extends Error {}

/** Findings of one case. */
export class Recorder {
  /** What differed; empty when the case passes. */
  readonly findings: string[] = []
  #rowsChecked = 0
  #withinMargin = 0
  #maxMargin = 0
  #maxLogprobError = 0

  /**
   * Demands equal values: numbers, strings, and arrays of them.
   *
   * @param actual - From the backend.
   * @param expected - What it must be.
   * @param what - Names the value in the finding.
   */
  equal(actual: unknown, expected: unknown, what: string): void {
    this.#rowsChecked += lengthOf(actual)
    if (isSame(actual, expected)) return
    this.#find(`${what}: expected ${show(expected)}, got ${show(actual)}`)
  }

  /**
   * Demands a true condition.
   *
   * @param condition - Whether it holds.
   * @param what - States it.
   */
  isTrue(condition: boolean, what: string): void {
    this.#rowsChecked += 1
    if (!condition) this.#find(what)
  }

  /**
   * Demands a log-probability within a bound.
   *
   * @param actual - From the backend.
   * @param expected - The oracle's.
   * @param bound - Largest distance allowed, nats.
   * @param what - Names the value in the finding.
   */
  logprob(actual: number | undefined, expected: number, bound: number, what: string): void {
    const error = actual === expected ? 0 : Math.abs((actual ?? Number.NaN) - expected)
    if (error <= bound) this.#maxLogprobError = Math.max(this.#maxLogprobError, error)
    else this.#find(`${what}: expected logprob ${expected} within ${bound}, got ${actual}`)
  }

  /**
   * Compares the draws of one row with the oracle's: equal tokens wherever margin and boundary distance exceed the
   * bound, equal log-probabilities of equal tokens.
   *
   * @param result - From the backend.
   * @param row - Row of the batch.
   * @param reference - The oracle's answer.
   * @param what - Names the row in the finding.
   */
  row(result: SampleResult, row: number, reference: RowReference, what: string): void {
    const { oracle, marginBound, logprobBound } = reference
    const start = result.rowOffsets[row] as number
    const count = (result.rowOffsets[row + 1] as number) - start
    this.equal(count, oracle.draws.length, `${what}, number of draws`)
    for (const [draw, expected] of oracle.draws.entries()) {
      const tokenId = result.tokenIds[start + draw]
      const distance = Math.min(expected.margin, oracle.boundaryDistance)
      const where = oracle.draws.length > 1 ? `${what}, draw ${draw}` : what
      this.#rowsChecked += 1
      if (tokenId !== expected.tokenId) {
        if (distance <= marginBound) {
          this.#maxMargin = Math.max(this.#maxMargin, distance)
        } else {
          this.#find(
            `${where}: expected token ${expected.tokenId}, got ${tokenId} ` +
              `(margin ${expected.margin}, boundary distance ${oracle.boundaryDistance}, bound ${marginBound})`,
          )
        }
      } else {
        this.logprob(result.logprobs[start + draw], expected.logprob, logprobBound, where)
      }
      if (distance <= marginBound) this.#withinMargin += 1
    }
    if (oracle.topLogprobs.length > 0) this.#topLogprobs(result, row, reference, what)
  }

  /**
   * Compares every row of a batch with the oracle's answers.
   *
   * @param result - From the backend.
   * @param references - One per row.
   * @param what - Names the batch in findings.
   */
  rows(result: SampleResult, references: readonly RowReference[], what: string): void {
    this.equal(result.rowOffsets.length, references.length + 1, `${what}, length of rowOffsets`)
    for (const [row, reference] of references.entries()) {
      this.row(result, row, reference, references.length > 1 ? `${what}, row ${row}` : what)
    }
  }

  /**
   * Demands that a promise is rejected with a certain error.
   *
   * @param promise - What must fail.
   * @param expected - Fields the error must have, with their values.
   * @param what - Names the call in the finding.
   */
  async rejects(
    promise: Promise<unknown>,
    expected: Readonly<Record<string, unknown>>,
    what: string,
  ): Promise<void> {
    let error: unknown
    try {
      await promise
      this.#rowsChecked += 1
      this.#find(`${what}: expected an error with ${show(expected)}, got a result`)
      return
    } catch (caught) {
      error = caught
    }
    for (const [key, value] of Object.entries(expected)) {
      this.equal(
        (error as Record<string, unknown> | null)?.[key],
        value,
        `${what}, ${key} of ${String(error)}`,
      )
    }
  }

  /** @returns The figures of the case. */
  figures(): Pick<
    ConformanceCaseResult,
    'rowsChecked' | 'withinMargin' | 'maxMargin' | 'maxLogprobError'
  > {
    return {
      rowsChecked: this.#rowsChecked,
      withinMargin: this.#withinMargin,
      maxMargin: this.#maxMargin,
      maxLogprobError: this.#maxLogprobError,
    }
  }

  #topLogprobs(result: SampleResult, row: number, reference: RowReference, what: string): void {
    const { oracle, logprobBound } = reference
    const top = result.topLogprobs[row]
    if (top == null) {
      this.#find(`${what}: expected ${oracle.topLogprobs.length} top log-probabilities, got none`)
      return
    }
    this.equal(
      top.tokenIds.length,
      oracle.topLogprobs.length,
      `${what}, number of top log-probabilities`,
    )
    for (const [rank, expected] of oracle.topLogprobs.entries()) {
      const where = `${what}, top log-probability ${rank}`
      this.logprob(top.logprobs[rank], expected.logprob, logprobBound, where)
      const neighbours = [oracle.topLogprobs[rank - 1], oracle.topLogprobs[rank + 1]]
      // The last rank's follower is unknown, so its token is not compared.
      const isDistinct =
        rank + 1 < oracle.topLogprobs.length &&
        neighbours.every(
          (n) => n === undefined || Math.abs(n.logprob - expected.logprob) > 2 * logprobBound,
        )
      if (isDistinct) this.equal(top.tokenIds[rank], expected.tokenId, where)
    }
  }

  #find(finding: string): void {
    if (this.findings.length < MAX_FINDINGS) this.findings.push(finding)
    else if (this.findings.length === MAX_FINDINGS) this.findings.push('and more')
  }
}

function lengthOf(value: unknown): number {
  return isList(value) ? value.length : 1
}

function isList(value: unknown): value is ArrayLike<unknown> {
  return Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value)
}

function isSame(a: unknown, b: unknown): boolean {
  if (!isList(a) || !isList(b)) return Object.is(a, b)
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return true
}

function show(value: unknown): string {
  const text = isList(value)
    ? `[${Array.from(value).join(', ')}]`
    : typeof value === 'object'
      ? JSON.stringify(value)
      : String(value)
  return text.length > 120 ? `${text.slice(0, 117)}...` : text
}
