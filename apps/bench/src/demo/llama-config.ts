/**
 * What the demo's body needs to know about a Llama model, read from GGUF metadata.
 *
 * @module
 */
import { UserError } from '../ui/user-error.ts'
import type { GgufFile } from './gguf-file.ts'

/** Sizes and constants of a Llama model. */
export interface LlamaConfig {
  /** Transformer blocks. */
  numBlocks: number
  /** Width of the residual stream, elements. */
  hiddenSize: number
  /** Width inside the feed-forward network, elements. */
  feedForwardSize: number
  /** Query heads. */
  numHeads: number
  /** Key and value heads; each serves `numHeads / numKvHeads` query heads. */
  numKvHeads: number
  /** Width of a head, elements. */
  headSize: number
  /** Leading elements of a head that are rotated, even. */
  ropeSize: number
  /** Base of the rotation frequencies. */
  ropeBase: number
  /** Added to the mean square in RMSNorm. */
  rmsEpsilon: number
  /** Longest sequence the model was made for, tokens. */
  contextLength: number
  /** Tokens of the vocabulary. */
  vocabSize: number
}

/**
 * Reads and checks the configuration of a Llama model.
 *
 * @param file - An open GGUF file.
 * @returns The configuration.
 * @throws {UserError} when the architecture or one of its variants is not supported, or a value is missing.
 */
export function readLlamaConfig(file: GgufFile): LlamaConfig {
  const architecture = file.metadata['general.architecture']
  if (architecture !== 'llama') {
    throw new UserError(
      `Cannot use ${file.path} as the demo runs models of the llama architecture: ` +
        `current value is ${JSON.stringify(architecture ?? null)}`,
    )
  }
  const hiddenSize = size(file, 'embedding_length')
  const numHeads = size(file, 'attention.head_count')
  const headSize = size(file, 'attention.key_length', hiddenSize / numHeads)
  const config: LlamaConfig = {
    numBlocks: size(file, 'block_count'),
    hiddenSize,
    feedForwardSize: size(file, 'feed_forward_length'),
    numHeads,
    numKvHeads: size(file, 'attention.head_count_kv', numHeads),
    headSize,
    ropeSize: size(file, 'rope.dimension_count', headSize),
    ropeBase: numberAt(file, 'rope.freq_base', 10_000),
    rmsEpsilon: numberAt(file, 'attention.layer_norm_rms_epsilon'),
    contextLength: size(file, 'context_length'),
    vocabSize: embeddingRows(file),
  }
  checkVariants(file, config)
  return config
}

function checkVariants(file: GgufFile, config: LlamaConfig): void {
  const { headSize, numHeads, numKvHeads, ropeSize } = config
  const scaling = file.metadata['llama.rope.scaling.type'] ?? 'none'
  const known = knownTensors(config)
  const problems: [boolean, string][] = [
    [
      numHeads % numKvHeads !== 0,
      `${numHeads} heads do not divide evenly over ${numKvHeads} key heads`,
    ],
    [
      ropeSize > headSize || ropeSize % 2 !== 0,
      `${ropeSize} rotated elements do not fit heads of ${headSize}`,
    ],
    [
      size(file, 'attention.value_length', headSize) !== headSize,
      'keys and values differ in width',
    ],
    [
      scaling !== 'none',
      `its rotations are scaled (${String(scaling)}), which the demo does not do`,
    ],
    [
      Number(file.metadata['llama.expert_count'] ?? 0) > 0,
      'it is a mixture of experts, which the demo does not run',
    ],
  ]
  for (const name of file.tensors.keys()) {
    // A tensor that is silently left out would make the model talk nonsense.
    problems.push([!known.has(name), `it has a tensor that the demo does not know: ${name}`])
  }
  const problem = problems.find(([applies]) => applies)
  if (problem !== undefined) {
    throw new UserError(`Cannot use ${file.path} as ${problem[1]}: use a plain Llama model`)
  }
}

/** Tensor names inside block `index`, without the suffix `.weight`. */
export const BLOCK_TENSORS = [
  'attn_norm',
  'attn_q',
  'attn_k',
  'attn_v',
  'attn_output',
  'ffn_norm',
  'ffn_gate',
  'ffn_up',
  'ffn_down',
] as const

function knownTensors(config: LlamaConfig): Set<string> {
  const names = new Set([
    'token_embd.weight',
    'output_norm.weight',
    'output.weight',
    'rope_freqs.weight',
  ])
  for (let block = 0; block < config.numBlocks; block++) {
    for (const name of BLOCK_TENSORS) names.add(`blk.${block}.${name}.weight`)
  }
  return names
}

function embeddingRows(file: GgufFile): number {
  const embedding = file.tensors.get('token_embd.weight')
  if (embedding === undefined) {
    throw new UserError(
      `Cannot use ${file.path} as it has no tensor token_embd.weight: use a complete Llama model`,
    )
  }
  return embedding.rows
}

function size(file: GgufFile, key: string, fallback?: number): number {
  const value = numberAt(file, key, fallback)
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new UserError(
    `Cannot use ${file.path} as "llama.${key}" must be a whole number >= 1: current value is ${value}`,
  )
}

function numberAt(file: GgufFile, key: string, fallback?: number): number {
  const value = file.metadata[`llama.${key}`] ?? fallback
  if ((typeof value === 'number' || typeof value === 'bigint') && Number(value) > 0)
    return Number(value)
  throw new UserError(
    `Cannot use ${file.path} as "llama.${key}" must be a number > 0: ` +
      `current value is ${value === undefined ? 'missing' : String(value)}`,
  )
}
