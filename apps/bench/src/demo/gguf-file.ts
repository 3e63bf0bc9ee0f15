/**
 * GGUF files: metadata by `@huggingface/gguf`, tensors by name, every size checked before anything is read.
 *
 * @module
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import {
  type DType,
  type QuantizedFormat,
  rowByteLength,
  STORAGE_FORMATS,
} from '@flashsampling/core'
import { GGMLQuantizationType, type GGUFParseOutput, gguf } from '@huggingface/gguf'
import { messageOf, UserError } from '../ui/user-error.ts'
import type { ModelSource } from './model-source.ts'

/** One tensor of the file. */
export interface GgufTensor {
  /** Name, for example `blk.0.attn_q.weight`. */
  name: string
  /** Storage format. */
  dtype: DType | QuantizedFormat
  /** Rows: outputs of a matrix, 1 for a vector. */
  rows: number
  /** Elements of a row. */
  columns: number
  /** Position in the file, bytes. */
  byteOffset: number
  /** Size, bytes. */
  byteLength: number
}

/** GGML's numbers of the storage formats that core reads. */
const DTYPES: Partial<Record<GGMLQuantizationType, DType | QuantizedFormat>> = {
  [GGMLQuantizationType.F32]: 'f32',
  [GGMLQuantizationType.F16]: 'f16',
  [GGMLQuantizationType.BF16]: 'bf16',
  [GGMLQuantizationType.Q8_0]: 'q8_0',
  [GGMLQuantizationType.Q4_0]: 'q4_0',
  [GGMLQuantizationType.Q4_1]: 'q4_1',
  [GGMLQuantizationType.Q6_K]: 'q6_k',
}

/** An open GGUF file; close it when the tensors are read. */
export class GgufFile {
  /** Path or name of the source, for messages. */
  readonly path: string
  /** Key-value pairs of the header. */
  readonly metadata: Readonly<Record<string, unknown>>
  /** Tensors by name. */
  readonly tensors: ReadonlyMap<string, GgufTensor>
  readonly #source: ModelSource

  private constructor(
    metadata: Record<string, unknown>,
    tensors: Map<string, GgufTensor>,
    source: ModelSource,
  ) {
    this.path = source.name
    this.metadata = metadata
    this.tensors = tensors
    this.#source = source
  }

  /**
   * Checks the header of a file: magic, version, tensor types, and that every tensor lies inside the file.
   *
   * @param source - The bytes; closed here when they cannot be used.
   * @returns The open file, owned by the caller.
   * @throws {UserError} when the file is not GGUF, is truncated or has a tensor type that core does not read.
   */
  static async open(source: ModelSource): Promise<GgufFile> {
    try {
      await checkPreamble(source)
      const header = await parseHeader(source)
      const tensors = placeTensors(header, source.name, source.byteLength)
      return new GgufFile({ ...header.metadata }, tensors, source)
    } catch (error) {
      await source.close()
      throw error
    }
  }

  /**
   * Reads the bytes of a tensor.
   *
   * @param tensor - One of {@link GgufFile.tensors}.
   * @returns `[rows, columns]` in the tensor's storage format, in memory of its own.
   * @throws {UserError} when the file became shorter meanwhile.
   */
  async read(tensor: GgufTensor): Promise<Uint8Array<ArrayBuffer>> {
    const { name, byteOffset, byteLength } = tensor
    const bytes = await this.#source.read(byteOffset, byteOffset + byteLength)
    if (bytes.byteLength < byteLength) {
      throw truncated(this.path, `it ends inside the tensor ${name}`)
    }
    return bytes
  }

  /**
   * Looks up a tensor that the model cannot do without.
   *
   * @param name - Name of the tensor.
   * @param rows - Expected rows.
   * @param columns - Expected elements of a row.
   * @returns The tensor.
   * @throws {UserError} when it is missing or has another shape.
   */
  require(name: string, rows: number, columns: number): GgufTensor {
    const tensor = this.tensors.get(name)
    if (tensor === undefined) {
      throw new UserError(
        `Cannot use ${this.path} as it has no tensor ${name}: use a complete Llama model`,
      )
    }
    if (tensor.rows !== rows || tensor.columns !== columns) {
      throw new UserError(
        `Cannot use ${this.path} as the tensor ${name} is [${tensor.rows}, ${tensor.columns}] ` +
          `where its header promises [${rows}, ${columns}]: the file is damaged, fetch it again`,
      )
    }
    return tensor
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#source.close()
  }
}

async function checkPreamble(source: ModelSource): Promise<void> {
  const { name } = source
  const bytes = await source.read(0, 8)
  if (bytes.byteLength < 8 || new TextDecoder('latin1').decode(bytes.subarray(0, 4)) !== 'GGUF') {
    throw new UserError(
      `Cannot use ${name} as it is not a GGUF file (it does not begin with "GGUF"): name a .gguf file`,
    )
  }
  const version = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true)
  if (version !== 2 && version !== 3) {
    throw new UserError(
      `Cannot use ${name} as its GGUF version is not 2 or 3 (little-endian): current value is ${version}`,
    )
  }
}

/** The parser asks for ranges of an address; they are answered from the source, nothing is sent anywhere. */
const PARSER_ADDRESS = 'https://model.invalid/'

async function parseHeader(source: ModelSource): Promise<GGUFParseOutput> {
  const { name, byteLength } = source
  let header: GGUFParseOutput
  try {
    header = await gguf(PARSER_ADDRESS, { fetch: (_, init) => answerRange(source, init) })
  } catch (error) {
    throw new UserError(
      `Cannot read the header of ${name} (${messageOf(error)}): the file is truncated or damaged, fetch it again`,
      { cause: error },
    )
  }
  // The parser pads a short file with zeros, which read as empty entries; the end of the header tells.
  if (Number(header.tensorDataOffset) > byteLength) {
    throw truncated(name, `its header ends at byte ${header.tensorDataOffset} of ${byteLength}`)
  }
  return header
}

/** The answer that a server of the file would give to a request for a range. */
async function answerRange(source: ModelSource, init?: RequestInit): Promise<Response> {
  const range = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('range') ?? '')
  return new Response(await source.read(Number(range?.[1]), Number(range?.[2]) + 1))
}

function placeTensors(
  header: GGUFParseOutput,
  path: string,
  fileSize: number,
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>()
  for (const { name, dtype: type, shape, offset } of header.tensorInfos) {
    const dtype = DTYPES[type]
    if (dtype === undefined) {
      throw new UserError(
        `Cannot use ${path} as the tensor ${name} is stored as ${GGMLQuantizationType[type] ?? `type ${type}`}: ` +
          'use a file in F32, F16, BF16, Q8_0, Q4_0, Q4_1 or Q6_K',
      )
    }
    const columns = Number(shape[0] ?? 1)
    const rows = shape.slice(1).reduce((product, size) => product * Number(size), 1)
    if (columns < 1 || rows < 1 || columns % STORAGE_FORMATS[dtype].blockWeights !== 0) {
      throw new UserError(
        `Cannot use ${path} as the tensor ${name} has the impossible shape [${rows}, ${columns}] for ${dtype}: ` +
          'the file is damaged, fetch it again',
      )
    }
    const byteOffset = Number(header.tensorDataOffset) + Number(offset)
    const byteLength = rows * rowByteLength(dtype, columns)
    if (byteOffset + byteLength > fileSize) {
      throw truncated(
        path,
        `the tensor ${name} ends at byte ${byteOffset + byteLength} of ${fileSize}`,
      )
    }
    tensors.set(name, { name, dtype, rows, columns, byteOffset, byteLength })
  }
  return tensors
}

function truncated(path: string, evidence: string): UserError {
  return new UserError(`Cannot use ${path} as it is truncated (${evidence}): fetch the file again`)
}
