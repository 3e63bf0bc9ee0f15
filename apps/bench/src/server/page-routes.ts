/**
 * What the page and its server agree on; no Node-only code, the page imports it.
 *
 * @module
 */

/** Answers with {@link ServedModel} as JSON, or `null` where the server offers no model. */
export const MODEL_INFO_PATH = '/model.json'

/** Answers with the bytes of the model. */
export const MODEL_PATH = '/model.gguf'

/** The model that a server offers. */
export interface ServedModel {
  /** File name. */
  name: string
  /** Size, bytes. */
  byteLength: number
}

/** Headers that make a page cross-origin isolated: shared memory, and with it threads, exist only there. */
export const ISOLATION_HEADERS = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
} as const
