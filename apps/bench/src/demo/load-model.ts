/**
 * Everything of a model that the demo needs, from one GGUF file.
 *
 * @module
 */
import type { LmHeadShard } from '@flashsampling/core'
import { formatBytes, Progress } from '../ui/progress.ts'
import { GgufFile } from './gguf-file.ts'
import { LlamaBody, readHeadTensor } from './llama-body.ts'
import { type LlamaConfig, readLlamaConfig } from './llama-config.ts'
import { createTokenizer, type ModelTokenizer } from './tokenizer.ts'

/** A model file whose header has been read and found usable. */
export interface OpenModel {
  /** Sizes of the model. */
  config: LlamaConfig
  /** Text to tokens and back. */
  tokenizer: ModelTokenizer
  /**
   * Reads the weights; shows progress.
   *
   * @returns The transformer without the head, and the head in its storage format.
   * @throws {UserError} when a tensor is missing or damaged, or memory is short.
   */
  loadWeights(): Promise<{ body: LlamaBody; lmHead: LmHeadShard }>
  /** Closes the file. */
  close(): Promise<void>
}

/**
 * Opens a Llama model and reads everything but its weights, so that mistakes show before the long part.
 *
 * @param path - Path of the GGUF file.
 * @returns The open model, owned by the caller.
 * @throws {UserError} when the file cannot be used; says why and what to do.
 */
export async function openModel(path: string): Promise<OpenModel> {
  const file = await GgufFile.open(path)
  try {
    const config = readLlamaConfig(file)
    const tokenizer = createTokenizer(file.metadata, path)
    return {
      config,
      tokenizer,
      loadWeights: () => loadWeights(file, config),
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
): Promise<{ body: LlamaBody; lmHead: LmHeadShard }> {
  const { vocabSize, hiddenSize } = config
  const progress = new Progress({
    label: 'Loading the weights',
    total: [...file.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0),
    format: formatBytes,
  })
  try {
    const body = await LlamaBody.load(file, config, (doneBytes) => progress.update(doneBytes))
    // Models without a head of their own use the embedding table for both.
    const lmHead = file.tensors.has('output.weight')
      ? await readHeadTensor(file, file.require('output.weight', vocabSize, hiddenSize))
      : body.embedding
    progress.done()
    return { body, lmHead }
  } finally {
    progress.stop()
  }
}
