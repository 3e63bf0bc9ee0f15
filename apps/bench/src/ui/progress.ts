/**
 * Progress of work that may take longer than a second.
 *
 * On a terminal: one line that is redrawn and erased at the end. Elsewhere: plain lines, few of them, no control codes.
 *
 * @module
 */

/** Where progress is drawn: a terminal, a pipe or a file. */
export interface ProgressStream {
  /** Whether control codes may be written. */
  isTTY?: boolean | undefined
  /** Width of the terminal, characters. */
  columns?: number | undefined
  /** Writes text. */
  write(text: string): unknown
}

/** Options of {@link Progress}. */
export interface ProgressOptions {
  /** What is being done, for example `Loading the weights`. */
  label: string
  /** Amount that means done; in the unit of {@link Progress.update}. */
  total: number
  /** Formats an amount. @defaultValue the number itself */
  format?: ((amount: number) => string) | undefined
  /** Where to draw. @defaultValue process.stderr */
  stream?: ProgressStream | undefined
  /** Work shorter than this draws nothing, ms. @defaultValue 500 */
  delayMs?: number | undefined
}

const BAR_WIDTH = 24
const ERASE_LINE = '\r\x1b[K'
const REDRAW_MS = 100
const PLAIN_LINE_MS = 5000

/** One piece of work with a known total. */
export class Progress {
  readonly #label: string
  readonly #total: number
  readonly #format: (amount: number) => string
  readonly #stream: ProgressStream
  readonly #startedAt = performance.now()
  #nextDrawAt: number
  #drawn = false
  #ended = false

  /** @param options - Label, total and where to draw. */
  constructor(options: ProgressOptions) {
    this.#label = options.label
    this.#total = options.total
    this.#format = options.format ?? String
    this.#stream = options.stream ?? process.stderr
    this.#nextDrawAt = this.#startedAt + (options.delayMs ?? 500)
  }

  /**
   * Reports how far the work is; draws at most ten times a second.
   *
   * @param amount - 0 to the total.
   */
  update(amount: number): void {
    const now = performance.now()
    if (this.#ended || now < this.#nextDrawAt) return
    this.#nextDrawAt = now + (this.#stream.isTTY ? REDRAW_MS : PLAIN_LINE_MS)
    this.#drawn = true
    const share = Math.min(1, this.#total > 0 ? amount / this.#total : 1)
    const percent = `${Math.floor(share * 100)} %`
    const counts = `${this.#format(Math.min(amount, this.#total))} of ${this.#format(this.#total)}`
    if (!this.#stream.isTTY) {
      this.#stream.write(`${this.#label}: ${percent} (${counts})\n`)
      return
    }
    const filled = Math.round(share * BAR_WIDTH)
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
    const line = `${this.#label} ${bar} ${percent.padStart(5)}  ${counts}`
    // A line that wraps could not be erased by a carriage return.
    this.#stream.write(`${ERASE_LINE}${line.slice(0, (this.#stream.columns || 80) - 1)}`)
  }

  /** Ends the work: erases the bar, or writes a last line where bars cannot be erased. */
  done(): void {
    const seconds = ((performance.now() - this.#startedAt) / 1000).toFixed(1)
    this.#end(`${this.#label}: done in ${seconds} s\n`)
  }

  /** Ends work that failed: erases the bar and says nothing. Does nothing after {@link Progress.done}. */
  stop(): void {
    this.#end('')
  }

  #end(lastLine: string): void {
    if (this.#ended) return
    this.#ended = true
    if (this.#drawn) this.#stream.write(this.#stream.isTTY ? ERASE_LINE : lastLine)
  }
}
