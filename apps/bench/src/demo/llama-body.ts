/**
 * The demo's transformer body: a Llama model from token ids to the last, normalised hidden state.
 *
 * The body ends where the product begins: it never multiplies with the LM head.
 *
 * @module
 */
import { type LmHeadShard, readWeightRows } from '@flashsampling/core'
import { formatBytes } from '../ui/format-bytes.ts'
import { UserError } from '../ui/user-error.ts'
import { attend, createKvCache, type KvCache, ropeFrequencies, rotate } from './attention.ts'
import type { GgufFile, GgufTensor } from './gguf-file.ts'
import { addInPlace, applySwiGlu, multiply, rmsNorm } from './linear-algebra.ts'
import { BLOCK_TENSORS, type LlamaConfig } from './llama-config.ts'

/** One token to run: the next of its sequence. */
export interface BodyInput {
  /** The token. */
  tokenId: number
  /** Its sequence; receives the token's keys and values. */
  cache: KvCache
}

/** Options of {@link LlamaBody.load}. */
export interface LoadOptions {
  /** Called with the bytes of the file read so far. */
  onProgress?: ((doneBytes: number) => void) | undefined
  /** Memory of the machine, bytes; larger models are refused before anything is read. @defaultValue Infinity */
  memoryBytes?: number | undefined
}

type BlockWeights = Record<(typeof BLOCK_TENSORS)[number], Float32Array>

/** A Llama model without its head, weights widened to f32. */
export class LlamaBody {
  /** Sizes of the model. */
  readonly config: LlamaConfig
  readonly #embedding: LmHeadShard
  readonly #blocks: readonly BlockWeights[]
  readonly #outputNorm: Float32Array
  readonly #frequencies: Float64Array

  private constructor(
    config: LlamaConfig,
    embedding: LmHeadShard,
    blocks: readonly BlockWeights[],
    outputNorm: Float32Array,
    ropeFactors: Float32Array | null,
  ) {
    this.config = config
    this.#embedding = embedding
    this.#blocks = blocks
    this.#outputNorm = outputNorm
    this.#frequencies = ropeFrequencies(config, ropeFactors)
  }

  /**
   * Reads the weights of the body.
   *
   * @param file - An open GGUF file.
   * @param config - Its configuration.
   * @param options - Progress and memory.
   * @returns The body; the file may be closed afterwards.
   * @throws {UserError} when a tensor is missing or damaged, or the machine has too little memory.
   */
  static async load(
    file: GgufFile,
    config: LlamaConfig,
    options: LoadOptions = {},
  ): Promise<LlamaBody> {
    const { hiddenSize } = config
    const names = blockTensorShapes(config)
    const tensors = names.map((block) =>
      block.map(([name, rows, columns]) => [name, file.require(name, rows, columns)] as const),
    )
    const embedding = file.require('token_embd.weight', config.vocabSize, hiddenSize)
    checkMemory(
      file,
      tensors.flat().map(([, tensor]) => tensor),
      embedding,
      options.memoryBytes ?? Infinity,
    )

    let doneBytes = 0
    const count = (tensor: GgufTensor): void => {
      doneBytes += tensor.byteLength
      options.onProgress?.(doneBytes)
    }
    const embeddingShard = await readHeadTensor(file, embedding)
    count(embedding)
    const blocks: BlockWeights[] = []
    for (const block of tensors) {
      const weights: Float32Array[] = []
      for (const [, tensor] of block) {
        weights.push(await readFloats(file, tensor))
        count(tensor)
      }
      blocks.push(
        Object.fromEntries(BLOCK_TENSORS.map((name, i) => [name, weights[i]])) as BlockWeights,
      )
    }
    const outputNorm = await readFloats(file, file.require('output_norm.weight', 1, hiddenSize))
    const factors = file.tensors.has('rope_freqs.weight')
      ? await readFloats(file, file.require('rope_freqs.weight', 1, config.ropeSize / 2))
      : null
    return new LlamaBody(config, embeddingShard, blocks, outputNorm, factors)
  }

  /** The embedding table; also the LM head of models that have no `output.weight`. */
  get embedding(): LmHeadShard {
    return this.#embedding
  }

  /**
   * Starts a sequence.
   *
   * @param capacity - Most tokens it will hold.
   * @returns An empty cache.
   */
  createCache(capacity: number): KvCache {
    return createKvCache(this.config, capacity)
  }

  /**
   * Runs tokens: one of each of several sequences, or several consecutive ones of a sequence, in order.
   *
   * A token's result does not depend on what else is in the call.
   *
   * @param inputs - The tokens; each is appended to its cache, which must have room.
   * @returns `[inputs.length, hiddenSize]` f32 last hidden states, after the final RMSNorm.
   */
  forward(inputs: readonly BodyInput[]): Float32Array {
    const { config } = this
    const { hiddenSize, feedForwardSize, headSize, numHeads, numKvHeads, rmsEpsilon } = config
    const numRows = inputs.length
    const querySize = numHeads * headSize
    const keySize = numKvHeads * headSize
    const positions = inputs.map(({ cache }) => cache.length++)

    const stream = new Float32Array(numRows * hiddenSize)
    const normed = new Float32Array(numRows * hiddenSize)
    const update = new Float32Array(numRows * hiddenSize)
    const queries = new Float32Array(numRows * querySize)
    const keys = new Float32Array(numRows * keySize)
    const values = new Float32Array(numRows * keySize)
    const attended = new Float32Array(numRows * querySize)
    const gate = new Float32Array(numRows * feedForwardSize)
    const up = new Float32Array(numRows * feedForwardSize)

    inputs.forEach(({ tokenId }, row) => {
      stream.set(readWeightRows(this.#embedding, tokenId, 1), row * hiddenSize)
    })
    this.#blocks.forEach((block, blockIdx) => {
      rmsNorm(stream, block.attn_norm, normed, numRows, rmsEpsilon)
      multiply(block.attn_q, normed, queries, numRows, hiddenSize, querySize)
      multiply(block.attn_k, normed, keys, numRows, hiddenSize, keySize)
      multiply(block.attn_v, normed, values, numRows, hiddenSize, keySize)
      // All rows write their keys before any row attends: rows of one sequence see each other.
      inputs.forEach(({ cache }, row) => {
        const position = positions[row] as number
        rotate(queries, row * querySize, numHeads, headSize, this.#frequencies, position)
        rotate(keys, row * keySize, numKvHeads, headSize, this.#frequencies, position)
        const slice = [row * keySize, (row + 1) * keySize] as const
        cache.keys[blockIdx]?.set(keys.subarray(...slice), position * keySize)
        cache.values[blockIdx]?.set(values.subarray(...slice), position * keySize)
      })
      inputs.forEach(({ cache }, row) => {
        const pastKeys = cache.keys[blockIdx] as Float32Array
        const pastValues = cache.values[blockIdx] as Float32Array
        attend(
          config,
          queries,
          row * querySize,
          pastKeys,
          pastValues,
          positions[row] as number,
          attended,
        )
      })
      multiply(block.attn_output, attended, update, numRows, querySize, hiddenSize)
      addInPlace(stream, update, stream.length)

      rmsNorm(stream, block.ffn_norm, normed, numRows, rmsEpsilon)
      multiply(block.ffn_gate, normed, gate, numRows, hiddenSize, feedForwardSize)
      multiply(block.ffn_up, normed, up, numRows, hiddenSize, feedForwardSize)
      applySwiGlu(gate, up, gate.length)
      multiply(block.ffn_down, gate, update, numRows, feedForwardSize, hiddenSize)
      addInPlace(stream, update, stream.length)
    })
    rmsNorm(stream, this.#outputNorm, normed, numRows, rmsEpsilon)
    return normed
  }
}

/**
 * Reads a tensor as an LM head, in its storage format.
 *
 * @param file - An open GGUF file.
 * @param tensor - `[vocabSize, hiddenSize]`.
 * @returns The head, one shard.
 */
export async function readHeadTensor(file: GgufFile, tensor: GgufTensor): Promise<LmHeadShard> {
  const bytes = await file.read(tensor)
  const { dtype, rows: vocabSize, columns: hiddenSize } = tensor
  const data =
    dtype === 'f32'
      ? new Float32Array(bytes.buffer)
      : dtype === 'f16' || dtype === 'bf16'
        ? new Uint16Array(bytes.buffer)
        : bytes
  return { dtype, vocabSize, hiddenSize, data }
}

async function readFloats(file: GgufFile, tensor: GgufTensor): Promise<Float32Array> {
  const shard = await readHeadTensor(file, tensor)
  return shard.data instanceof Float32Array ? shard.data : readWeightRows(shard, 0, tensor.rows)
}

/** Name, rows and columns of every tensor, block by block, in the order of {@link BLOCK_TENSORS}. */
function blockTensorShapes(config: LlamaConfig): [string, number, number][][] {
  const { hiddenSize, feedForwardSize } = config
  const querySize = config.numHeads * config.headSize
  const keySize = config.numKvHeads * config.headSize
  const shapes: Record<(typeof BLOCK_TENSORS)[number], [number, number]> = {
    attn_norm: [1, hiddenSize],
    attn_q: [querySize, hiddenSize],
    attn_k: [keySize, hiddenSize],
    attn_v: [keySize, hiddenSize],
    attn_output: [hiddenSize, querySize],
    ffn_norm: [1, hiddenSize],
    ffn_gate: [feedForwardSize, hiddenSize],
    ffn_up: [feedForwardSize, hiddenSize],
    ffn_down: [hiddenSize, feedForwardSize],
  }
  return Array.from({ length: config.numBlocks }, (_, block) =>
    BLOCK_TENSORS.map((name) => [`blk.${block}.${name}.weight`, ...shapes[name]]),
  )
}

function checkMemory(
  file: GgufFile,
  tensors: readonly GgufTensor[],
  embedding: GgufTensor,
  memoryBytes: number,
): void {
  const weights = tensors.reduce((sum, { rows, columns }) => sum + rows * columns, 0)
  const neededBytes = weights * 4 + 2 * embedding.byteLength
  if (neededBytes > memoryBytes) {
    throw new UserError(
      `Cannot load ${file.path} as its weights take ${formatBytes(neededBytes)} in f32 and the machine has ` +
        `${formatBytes(memoryBytes)}: use a smaller model`,
    )
  }
}
