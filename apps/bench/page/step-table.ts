/**
 * The steps as a table, and their figures in short.
 *
 * @module
 */
import { formatBytes } from '../src/ui/format-bytes.ts'
import { elementOf } from './elements.ts'
import type { BackendKind, GeneratedStep, Verdict } from './engine-types.ts'

/** Table with one row a step. */
export class StepTable {
  readonly #details = elementOf('table-details', HTMLDetailsElement)
  readonly #body = elementOf('table', HTMLTableElement).tBodies[0] as HTMLTableSectionElement

  /** Removes all rows. */
  clear(): void {
    this.#body.replaceChildren()
    this.#details.hidden = true
  }

  /**
   * Adds a step.
   *
   * @param step - The step.
   */
  add(step: GeneratedStep): void {
    this.#details.hidden = false
    const row = this.#body.insertRow()
    for (const text of [
      String(step.step),
      visible(step.tokenText),
      `${(100 * Math.exp(step.logprob)).toFixed(1)} %`,
      step.bodyMs.toFixed(2),
      step.headMs.toFixed(2),
      step.totalMs.toFixed(2),
      String(step.readBackBytes),
      '',
    ]) {
      row.insertCell().textContent = text
    }
  }

  /**
   * Writes the oracle's verdicts.
   *
   * @param verdicts - One per step, from step 0.
   */
  addVerdicts(verdicts: readonly Verdict[]): void {
    verdicts.forEach((verdict, step) => {
      const cell = this.#body.rows[step]?.cells.item(7)
      if (cell) cell.textContent = verdict
    })
  }
}

/**
 * Shows the figures of a run.
 *
 * @param steps - Steps so far; none clears the figures.
 * @param backend - Backend that draws.
 * @param vocabSize - Tokens of the vocabulary.
 */
export function showFigures(
  steps: readonly GeneratedStep[],
  backend: BackendKind,
  vocabSize: number,
): void {
  const list = elementOf('figures', HTMLDListElement)
  if (steps.length === 0) {
    list.replaceChildren()
    return
  }
  const sum = (of: (step: GeneratedStep) => number): number =>
    steps.reduce((total, step) => total + of(step), 0)
  const totalMs = sum(({ totalMs }) => totalMs)
  // Step 0 has no body of its own.
  const bodySteps = steps.slice(1)
  const readBack = sum(({ readBackBytes }) => readBackBytes) / steps.length
  const figures: [string, string][] = [
    ['Tokens', String(steps.length)],
    ['Speed', `${((1000 * steps.length) / totalMs).toFixed(1)} tokens/s`],
    ['Body, median', bodySteps.length === 0 ? '–' : ms(median(bodySteps.map((s) => s.bodyMs)))],
    ['LM head and draw, median', ms(median(steps.map(({ headMs }) => headMs)))],
    ['Step, median', ms(median(steps.map((step) => step.totalMs)))],
    [
      'Read back from the GPU',
      backend === 'cpu' ? 'nothing: no GPU in use' : `${formatBytes(round(readBack))} a step`,
    ],
    ['Logits never written', `${formatBytes(vocabSize * 4)} a step`],
  ]
  list.replaceChildren(
    ...figures.map(([name, value]) => {
      const group = document.createElement('div')
      const term = document.createElement('dt')
      const description = document.createElement('dd')
      term.textContent = name
      description.textContent = value
      group.append(term, description)
      return group
    }),
  )
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? 0)) / 2
}

/** Makes line ends and tabs visible. */
function visible(text: string): string {
  return text.replaceAll('\n', '⏎').replaceAll('\t', '⇥')
}
