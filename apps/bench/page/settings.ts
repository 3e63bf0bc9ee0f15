/**
 * The form: what the user asks for, and which field a message is about.
 *
 * @module
 */
import { UserError } from '../src/ui/user-error.ts'
import { elementOf } from './elements.ts'
import type { BackendKind, Environment, GenerateRequest } from './engine-types.ts'

/** Form of the page. */
export class Settings {
  readonly #form = elementOf('form', HTMLFormElement)
  readonly #webgpu = elementOf('backend-webgpu', HTMLInputElement)

  /** Offers the backends that there are, and picks the best: WebGPU in software is slower than the CPU backend. */
  offerBackends({ webgpu }: Environment): void {
    this.#webgpu.disabled = webgpu === null
    elementOf('backend-webgpu-label', HTMLLabelElement).textContent =
      webgpu === null ? 'WebGPU (missing here)' : `WebGPU (${webgpu.name})`
    const best = webgpu === null || webgpu.isSoftware ? 'backend-cpu' : 'backend-webgpu'
    elementOf(best, HTMLInputElement).checked = true
  }

  /**
   * Reads the form; ranges are checked by whoever uses the values.
   *
   * @returns The request.
   * @throws {UserError} when the seed is no whole number.
   */
  read(): GenerateRequest {
    return {
      prompt: elementOf('prompt', HTMLTextAreaElement).value,
      raw: elementOf('raw', HTMLInputElement).checked,
      temperature: numberOf('temperature'),
      topK: numberOf('top-k'),
      topP: numberOf('top-p'),
      minP: numberOf('min-p'),
      seed: seedOf(elementOf('seed', HTMLInputElement).value),
      maxTokens: numberOf('max-tokens'),
      backend: (this.#webgpu.checked ? 'webgpu' : 'cpu') satisfies BackendKind,
    }
  }

  /**
   * Marks the field that a message names, as in `"topP" must be from 0 to 1`, and moves the focus there.
   *
   * @param message - Message of an error; an empty one clears all marks.
   */
  markField(message: string): void {
    const name = /^Cannot .* "(\w+)" (?:must be|is) /.exec(message)?.[1]
    for (const field of this.#form.querySelectorAll<HTMLElement>('[data-name]')) {
      const isMeant = name !== undefined && field.dataset.name === name
      field.removeAttribute('aria-invalid')
      if (!isMeant) continue
      field.setAttribute('aria-invalid', 'true')
      field.focus()
    }
  }
}

/** NaN for what is no number, which core refuses with a message of its own. */
function numberOf(id: string): number {
  return elementOf(id, HTMLInputElement).valueAsNumber
}

function seedOf(text: string): bigint {
  if (/^\s*(-?\d+|0x[0-9a-f]+)\s*$/i.test(text)) return BigInt(text.trim())
  throw new UserError(
    `Cannot generate text as "seed" must be a whole number, for example 42: current value is ${JSON.stringify(text)}`,
  )
}
