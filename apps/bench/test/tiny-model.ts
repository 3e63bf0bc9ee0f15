/**
 * Writes a tiny Llama model as GGUF: a format writer and random weights, enough to run every path of the demo.
 */
import { philox2x32, rowByteLength, STORAGE_FORMATS } from '@flashsampling/core'

/** Values of a metadata entry; numbers become u32 when whole and f32 otherwise. */
export type MetadataValue = string | number | boolean | string[] | number[]

/** One tensor to write. */
export interface TinyTensor {
  name: string
  /** GGML order: columns first. */
  shape: number[]
  /** GGML's number of the storage format. */
  type: number
  data: Uint8Array
}

const ALIGNMENT = 32

/** GGML's numbers of the formats; q6_k blocks are wider than the tiny model's rows. */
const GGML_TYPES = { f32: 0, f16: 1, q4_0: 2, q4_1: 3, q8_0: 8, bf16: 30 } as const

/** Storage of the tiny model's matrices. */
export type TinyDtype = keyof typeof GGML_TYPES

/** Serialises a GGUF file, version 3, little-endian. */
export function writeGguf(
  metadata: Record<string, MetadataValue>,
  tensors: readonly TinyTensor[],
): Uint8Array {
  const header = new ByteWriter()
  header.text('GGUF')
  header.u32(3)
  header.u64(tensors.length)
  header.u64(Object.keys(metadata).length)
  for (const [key, value] of Object.entries(metadata)) {
    header.string(key)
    header.value(value)
  }
  let offset = 0
  for (const { name, shape, type, data } of tensors) {
    header.string(name)
    header.u32(shape.length)
    for (const size of shape) header.u64(size)
    header.u32(type)
    header.u64(offset)
    offset += Math.ceil(data.byteLength / ALIGNMENT) * ALIGNMENT
  }
  header.pad()
  for (const { data } of tensors) {
    header.bytes(data)
    header.pad()
  }
  return header.finish()
}

class ByteWriter {
  readonly #chunks: Uint8Array[] = []
  #length = 0

  bytes(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#length += chunk.byteLength
  }

  text(text: string): void {
    this.bytes(new TextEncoder().encode(text))
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(Uint32Array.of(value).buffer))
  }

  u64(value: number): void {
    this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer))
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text)
    this.u64(bytes.byteLength)
    this.bytes(bytes)
  }

  value(value: MetadataValue): void {
    if (Array.isArray(value)) {
      this.u32(9)
      this.u32(typeof value[0] === 'string' ? 8 : 5)
      this.u64(value.length)
      for (const item of value) typeof item === 'string' ? this.string(item) : this.u32(item)
    } else if (typeof value === 'string') {
      this.u32(8)
      this.string(value)
    } else if (typeof value === 'boolean') {
      this.u32(7)
      this.bytes(Uint8Array.of(Number(value)))
    } else if (Number.isInteger(value)) {
      this.u32(4)
      this.u32(value)
    } else {
      this.u32(6)
      this.bytes(new Uint8Array(Float32Array.of(value).buffer))
    }
  }

  pad(): void {
    this.bytes(new Uint8Array((ALIGNMENT - (this.#length % ALIGNMENT)) % ALIGNMENT))
  }

  finish(): Uint8Array {
    const file = new Uint8Array(this.#length)
    let at = 0
    for (const chunk of this.#chunks) {
      file.set(chunk, at)
      at += chunk.byteLength
    }
    return file
  }
}

/** Sizes of the tiny model. */
export const TINY = {
  numBlocks: 2,
  hiddenSize: 32,
  feedForwardSize: 64,
  numHeads: 4,
  numKvHeads: 2,
  headSize: 8,
  ropeBase: 10_000,
  rmsEpsilon: 1e-5,
  contextLength: 256,
} as const

/** What differs from the plain tiny model. */
export interface TinyOptions {
  /** Storage of the matrices of the body. @defaultValue 'q4_1' */
  bodyDtype?: TinyDtype
  /** Storage of embedding and head. @defaultValue 'q8_0' */
  headDtype?: TinyDtype
  /** Writes `output.weight` instead of sharing the embedding. @defaultValue false */
  ownHead?: boolean
  /** Writes `rope_freqs.weight`. @defaultValue false */
  ropeFactors?: boolean
  /** Replaces or adds metadata; `null` removes an entry. */
  metadata?: Record<string, MetadataValue | null>
  /** Changes the tensors before they are written. */
  editTensors?: (tensors: TinyTensor[]) => TinyTensor[]
}

/** Tokens of the tiny model: control tokens, 256 bytes, and some merges. */
export const TINY_CONTROL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
const TINY_MERGES = ['h e', 'l l', 'he ll', 'hell o', 'Ġ w', 'ð Ł']

/** Bytes of the tiny model's GGUF file; the same for the same options. */
export function tinyModel(options: TinyOptions = {}): Uint8Array {
  const { bodyDtype = 'q4_1', headDtype = 'q8_0' } = options
  const { numBlocks, hiddenSize, feedForwardSize, numHeads, numKvHeads, headSize } = TINY
  const tokens = tinyTokens()
  const random = randomNumbers(20)
  const matrix = (name: string, rows: number, columns: number, dtype: TinyDtype) => ({
    name: `${name}.weight`,
    shape: [columns, rows],
    type: GGML_TYPES[dtype],
    data: randomRows(random, dtype, rows, columns),
  })
  const vector = (name: string, values: Float32Array): TinyTensor => ({
    name: `${name}.weight`,
    shape: [values.length],
    type: GGML_TYPES.f32,
    data: new Uint8Array(values.buffer),
  })
  const norm = (name: string): TinyTensor =>
    vector(
      name,
      Float32Array.from({ length: hiddenSize }, () => 0.5 + random()),
    )
  let tensors: TinyTensor[] = [matrix('token_embd', tokens.length, hiddenSize, headDtype)]
  for (let block = 0; block < numBlocks; block++) {
    const prefix = `blk.${block}.`
    tensors.push(
      norm(`${prefix}attn_norm`),
      matrix(`${prefix}attn_q`, numHeads * headSize, hiddenSize, bodyDtype),
      matrix(`${prefix}attn_k`, numKvHeads * headSize, hiddenSize, bodyDtype),
      matrix(`${prefix}attn_v`, numKvHeads * headSize, hiddenSize, bodyDtype),
      matrix(`${prefix}attn_output`, hiddenSize, numHeads * headSize, bodyDtype),
      norm(`${prefix}ffn_norm`),
      matrix(`${prefix}ffn_gate`, feedForwardSize, hiddenSize, bodyDtype),
      matrix(`${prefix}ffn_up`, feedForwardSize, hiddenSize, bodyDtype),
      matrix(`${prefix}ffn_down`, hiddenSize, feedForwardSize, bodyDtype),
    )
  }
  tensors.push(norm('output_norm'))
  if (options.ownHead) tensors.push(matrix('output', tokens.length, hiddenSize, headDtype))
  if (options.ropeFactors) {
    tensors.push(
      vector(
        'rope_freqs',
        Float32Array.from({ length: headSize / 2 }, (_, i) => 1 + i),
      ),
    )
  }
  if (options.editTensors) tensors = options.editTensors(tensors)
  const metadata = { ...tinyMetadata(tokens), ...options.metadata }
  const present = Object.entries(metadata).filter(([, value]) => value !== null)
  return writeGguf(Object.fromEntries(present) as Record<string, MetadataValue>, tensors)
}

function tinyTokens(): string[] {
  const characters: string[] = []
  for (let byte = 0, next = 0x100; byte < 256; byte++) {
    const isPrintable = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
    characters.push(String.fromCharCode(isPrintable ? byte : next++))
  }
  return [...TINY_CONTROL, ...characters, ...TINY_MERGES.map((merge) => merge.replace(' ', ''))]
}

function tinyMetadata(tokens: string[]): Record<string, MetadataValue> {
  return {
    'general.architecture': 'llama',
    'llama.block_count': TINY.numBlocks,
    'llama.context_length': TINY.contextLength,
    'llama.embedding_length': TINY.hiddenSize,
    'llama.feed_forward_length': TINY.feedForwardSize,
    'llama.attention.head_count': TINY.numHeads,
    'llama.attention.head_count_kv': TINY.numKvHeads,
    'llama.attention.layer_norm_rms_epsilon': TINY.rmsEpsilon,
    'llama.rope.freq_base': TINY.ropeBase,
    'llama.rope.dimension_count': TINY.headSize,
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'smollm',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': tokens.map((_, id) => (id < TINY_CONTROL.length ? 3 : 1)),
    'tokenizer.ggml.merges': TINY_MERGES,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.chat_template':
      "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}" +
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
  }
}

/** Random rows in a storage format: random quants under fixed scales, values of about -0.25 to 0.25. */
function randomRows(
  random: () => number,
  dtype: TinyDtype,
  rows: number,
  columns: number,
): Uint8Array {
  if (dtype === 'f32') {
    const values = Float32Array.from({ length: rows * columns }, () => random() - 0.5)
    return new Uint8Array(values.buffer)
  }
  const bytes = Uint8Array.from({ length: rows * rowByteLength(dtype, columns) }, () =>
    Math.floor(random() * 256),
  )
  const view = new DataView(bytes.buffer)
  const { blockBytes } = STORAGE_FORMATS[dtype]
  for (let at = 0; at < bytes.byteLength; at += blockBytes) {
    // In f16, 0x1800 is 2^-9, 0x2800 is 2^-5 and 0xb400 is -2^-2; dense values keep sign and mantissa.
    if (dtype === 'f16') view.setUint16(at, (view.getUint16(at, true) & 0x83ff) | 0x3000, true)
    else if (dtype === 'bf16')
      view.setUint16(at, (view.getUint16(at, true) & 0x807f) | 0x3e00, true)
    else view.setUint16(at, dtype === 'q8_0' ? 0x1800 : 0x2800, true)
    if (dtype === 'q4_1') view.setUint16(at + 2, 0xb400, true)
  }
  return bytes
}

/** Reproducible numbers in [0, 1). */
export function randomNumbers(seed: number): () => number {
  let index = 0
  return () => (philox2x32([index++, 0], seed)[0] as number) / 2 ** 32
}
