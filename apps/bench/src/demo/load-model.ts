/**
 * Everything of a model that the demo needs, from one GGUF file.
 *
 * @module
 */
import type { LmHeadShard } from '@flashsampling/core'
import { formatBytes, Progress } from '../ui/progress.ts'
import { GgufFile } from './gguf-file.ts'
import { LlamaBody, readHeadTensor } from './llama-body.ts'
import { readLlamaConfig } from './llama-config.ts'
import { createTokenizer, type ModelTokenizer } from './tokenizer.ts'

/** A model in memory. */
export interface LoadedModel {
  /** Transformer without the head. */
  body: LlamaBody
  /** The LM head in its storage format. */
  lmHead: LmHeadShard
  /** Text to tokens and back. */
  tokenizer: ModelTokenizer
}

/**
 * Loads a Llama model.
 *
 * @param path - Path of the GGUF file.
 * @returns The model; the file is closed.
 * @throws {UserError} when the file cannot be used; says why and what to do.
 */
export async function loadModel(path: string): Promise<LoadedModel> {
  const file = await GgufFile.open(path)
  try {
    const config = readLlamaConfig(file)
    const tokenizer = createTokenizer(file.metadata, path)
    const body = await loadBody(file, config)
    // Models without a head of their own use the embedding table for both.
    const lmHead = file.tensors.has('output.weight')
      ? await readHeadTensor(
          file,
          file.require('output.weight', config.vocabSize, config.hiddenSize),
        )
      : body.embedding
    return { body, lmHead, tokenizer }
  } finally {
    await file.close()
  }
}

async function loadBody(
  file: GgufFile,
  config: ReturnType<typeof readLlamaConfig>,
): Promise<LlamaBody> {
  let progress: Progress | null = null
  try {
    return await LlamaBody.load(file, config, (done, total) => {
      progress ??= new Progress({ label: 'Loading the weights', total, format: formatBytes })
      progress.update(done)
    })
  } finally {
    ;(progress as Progress | null)?.done()
  }
}
