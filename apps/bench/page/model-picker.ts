/**
 * Where the model comes from: the local server, a file picker, or a file dropped on the page.
 *
 * @module
 */
import type { ServedModel } from '../src/server/page-routes.ts'
import { formatBytes } from '../src/ui/format-bytes.ts'
import { elementOf } from './elements.ts'

/** What the user can choose. */
export interface ModelPickerEvents {
  /** A file was picked or dropped. */
  onFile(file: File): void
  /** The server's model was asked for. */
  onServed(model: ServedModel): void
}

/** The section "Model" of the page. */
export class ModelPicker {
  readonly #input = elementOf('file', HTMLInputElement)
  readonly #button = elementOf('load-served', HTMLButtonElement)
  readonly #drop = elementOf('drop', HTMLDivElement)
  #served: ServedModel | null = null

  /** @param events - Called when the user chooses. */
  constructor(events: ModelPickerEvents) {
    // The same file may be chosen again, for example after an error.
    this.#input.addEventListener('click', () => {
      this.#input.value = ''
    })
    this.#input.addEventListener('change', () => {
      const file = this.#input.files?.[0]
      if (file !== undefined) events.onFile(file)
    })
    // The whole page takes files: a drop beside the box would otherwise leave the page.
    document.addEventListener('dragover', (event) => {
      event.preventDefault()
      this.#drop.classList.toggle('over', event.dataTransfer?.types.includes('Files') ?? false)
    })
    document.addEventListener('dragleave', (event) => {
      if (event.relatedTarget === null) this.#drop.classList.remove('over')
    })
    document.addEventListener('drop', (event) => {
      event.preventDefault()
      this.#drop.classList.remove('over')
      const file = event.dataTransfer?.files[0]
      if (file !== undefined && !this.#input.disabled) events.onFile(file)
    })
    this.#button.addEventListener('click', () => {
      if (this.#served !== null) events.onServed(this.#served)
    })
  }

  /** Offers the model of the server; `null` offers none. */
  offerServed(model: ServedModel | null): void {
    this.#served = model
    this.#button.hidden = model === null
    if (model === null) return
    this.#button.textContent = `Load ${model.name} from this server (${formatBytes(model.byteLength)})`
  }

  /** Says which model is loaded. */
  showModel(description: string): void {
    elementOf('model-info', HTMLParagraphElement).textContent = description
  }

  /** Lets the user choose, or not while something runs. */
  setEnabled(isEnabled: boolean): void {
    this.#input.disabled = !isEnabled
    this.#button.disabled = !isEnabled
  }
}
