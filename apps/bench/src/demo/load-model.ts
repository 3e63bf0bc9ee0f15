/**
 * Everything of a model that the demo needs, from one GGUF file.
 *
 * @module
 */
import type { LmHeadShard } from '@flashsampling/core'
import { GgufFile } from './gguf-file.ts'
import { LlamaBody, type LoadOptions, readHeadTensor } from './llama-body.ts'
import { type LlamaConfig, readLlamaConfig } from './llama-config.ts'
import type { ModelSource } from './model-source.ts'
import { createTokenizer, type ModelTokenizer } from './tokenizer.ts'

/** A model file whose header has been read and found usable. */
export interface OpenModel {
  /** Sizes of the model. */
  config: LlamaConfig
  /** Text to tokens and back. */
  tokenizer: ModelTokenizer
  /** Bytes of all tensors: the total of `onProgress`. */
  weightBytes: number
  /**
   * Reads the weights.
   *
   * @param options - Progress and memory.
   * @returns The transformer without the head, and the head in its storage format.
   * @throws {UserError} when a tensor is missing or damaged, or memory is short.
   */
  loadWeights(options?: LoadOptions): Promise<{ body: LlamaBody; lmHead: LmHeadShard }>
  /** Closes the source. */
  close(): Promise<void>
}

/**
 * Opens a Llama model and reads everything but its weights, so that mistakes show before the long part.
 *
 * @param source - Bytes of the GGUF file; closed here when they cannot be used.
 * @returns The open model, owned by the caller.
 * @throws {UserError} when the file cannot be used; says why and what to do.
 */
export async function openModel(source: ModelSource): Promise<OpenModel> {
  const file = await GgufFile.open(source)
  try {
    const config = readLlamaConfig(file)
    const tokenizer = createTokenizer(file.metadata, source.name)
    return {
      config,
      tokenizer,
      weightBytes: [...file.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0),
      loadWeights: (options) => loadWeights(file, config, options),
      close: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function loadWeights(
  file: GgufFile,
  config: LlamaConfig,
  options?: LoadOptions,
): Promise<{ body: LlamaBody; lmHead: LmHeadShard }> {
  const { vocabSize, hiddenSize } = config
  const body = await LlamaBody.load(file, config, options)
  // Models without a head of their own use the embedding table for both.
  const lmHead = file.tensors.has('output.weight')
    ? await readHeadTensor(file, file.require('output.weight', vocabSize, hiddenSize))
    : body.embedding
  return { body, lmHead }
}
