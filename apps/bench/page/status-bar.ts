/**
 * What the page is doing: one line that screen readers announce, a bar for what takes time, and what went wrong.
 *
 * @module
 */
import { formatBytes } from '../src/ui/format-bytes.ts'
import { elementOf } from './elements.ts'
import type { WorkProgress } from './engine-types.ts'

/** The bar at the top, which stays in view. */
export class StatusBar {
  readonly #bar = elementOf('bar', HTMLDivElement)
  readonly #status = elementOf('status', HTMLParagraphElement)
  readonly #progress = elementOf('progress', HTMLDivElement)
  readonly #error = elementOf('error', HTMLDivElement)

  /** Says something; an empty message says nothing. */
  say(message: string): void {
    this.#status.textContent = message
    this.#showBar()
  }

  /** Shows how far the work is; `null` hides the progress. */
  showProgress(progress: WorkProgress | null): void {
    this.#progress.hidden = progress === null
    this.#showBar()
    if (progress === null) return
    const { label, done, total, unit } = progress
    const format = unit === 'bytes' ? formatBytes : String
    const bar = elementOf('progress-bar', HTMLProgressElement)
    elementOf('progress-label', HTMLSpanElement).textContent =
      `${label}: ${format(done)} of ${format(total)}${unit === 'bytes' ? '' : ' tokens'}`
    bar.max = total
    bar.value = done
  }

  /** Says what went wrong; an empty message takes it back. */
  showError(message: string): void {
    elementOf('error-text', HTMLParagraphElement).textContent = message
    this.#error.hidden = message === ''
    this.#showBar()
  }

  #showBar(): void {
    const isQuiet = this.#status.textContent === '' && this.#error.hidden
    this.#bar.hidden = isQuiet && this.#progress.hidden
  }
}
