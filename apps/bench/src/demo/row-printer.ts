/**
 * Streams the texts of a batch in order: the first unfinished row live, the rows behind it when it has ended.
 *
 * @module
 */

/** Writes the rows of a batch one after the other. */
export class RowPrinter {
  readonly #write: (text: string) => void
  readonly #headings: readonly string[]
  readonly #waiting: string[]
  readonly #ended: boolean[]
  #current = 0

  /**
   * @param headings - One per row, written before its text; empty for none.
   * @param write - Receives the text.
   */
  constructor(headings: readonly string[], write: (text: string) => void) {
    this.#headings = headings
    this.#write = write
    this.#waiting = headings.map(() => '')
    this.#ended = headings.map(() => false)
    this.#write(headings[0] ?? '')
  }

  /** Adds text to a row. */
  push(row: number, text: string): void {
    if (row === this.#current) this.#write(text)
    else this.#waiting[row] += text
  }

  /** Ends a row; rows behind it that have ended too follow at once. */
  end(row: number): void {
    this.#ended[row] = true
    while (this.#current < this.#ended.length && this.#ended[this.#current]) {
      this.#write('\n')
      this.#current++
      if (this.#current < this.#ended.length) {
        this.#write(`${this.#headings[this.#current]}${this.#waiting[this.#current]}`)
      }
    }
  }
}
