/**
 * Cuts the LM head off ONNX models.
 *
 * @module
 */
import { invalidArgument } from '@flashsampling/core'
import type { PbfWriter } from 'pbf'
import { type FoundHead, findHead } from './find-head.ts'
import {
  type OnnxModel,
  type OnnxModelBytes,
  type OnnxNode,
  parseModel,
  tensorsReadBy,
} from './graph.ts'
import { headStart, hiddenTail, nodeField } from './hidden-tail.ts'
import { tensorByteLength } from './tensor-data.ts'
import { concatBytes, encode, messageField, readFields } from './wire.ts'

/** Options of {@link cutOnnxLmHead}. */
export interface CutOnnxLmHeadOptions {
  /** Name of the output with the logits. @defaultValue `logits`, or the only name that ends so */
  logitsOutput?: string | undefined
  /** Name that the hidden states get as output of the body and as input of the head. @defaultValue 'hidden_states' */
  hiddenStatesOutput?: string | undefined
  /**
   * Names of new files for those tensors of each part that lie in files beside the model; the result's `copies` say what
   * belongs into them. @defaultValue none: both parts go on reading the original files
   */
  externalData?: { body: string; head: string } | undefined
}

/** A stretch of a file beside the original model that belongs into a file beside a part of it. */
export interface ExternalDataCopy {
  /** File beside the original model. */
  from: string
  /** First byte there. */
  fromOffset: number
  /** Bytes. */
  length: number
  /** File beside the part. */
  to: string
  /** First byte there: a multiple of 4096, in ascending order for each file. */
  toOffset: number
}

/** A model in two parts; the head applied to the body's hidden states gives the logits of the original. */
export interface CutOnnxModel {
  /** The model without its head: in place of the logits its output is the hidden states. */
  body: Uint8Array<ArrayBuffer>
  /** A model of the head alone, from hidden states to `logits`, which {@link readOnnxLmHead} reads. */
  head: Uint8Array<ArrayBuffer>
  /** Name of the body's output with the hidden states. */
  hiddenStatesOutput: string
  /** Type of the hidden states. */
  hiddenStatesType: 'float32' | 'float16'
  /** Tokens of the head. */
  vocabSize: number
  /** Width of the body's hidden states, elements; the ones behind them included, where the head has a bias. */
  hiddenSize: number
  /** What to copy into new files, if `externalData` names them. */
  copies: ExternalDataCopy[]
}

/**
 * Cuts the LM head off a model: the body computes hidden states and, as before, keys and values; a sampler takes the head.
 *
 * What the file holds beside the cut (metadata, functions, other outputs) stays as it is, byte for byte. A weight that the
 * head shares with the embedding is in both parts. Where logits are the product times a number, the body multiplies hidden
 * states by it; where a bias is added, hidden states end in ones, which multiply the column that
 * {@link readOnnxLmHead} makes of it.
 *
 * @param model - The ONNX file.
 * @param options - Names of outputs and files.
 * @returns Both parts.
 * @throws {RangeError} when `hiddenStatesOutput` is the name of another tensor of the model.
 * @throws {InvalidOnnxModelError} when the bytes are no ONNX model.
 * @throws {UnsupportedOnnxModelError} when the model has no head that can be fused; says what it has.
 */
export function cutOnnxLmHead(
  model: OnnxModelBytes,
  options: CutOnnxLmHeadOptions = {},
): CutOnnxModel {
  const parsed = parseModel(model)
  const found = findHead(parsed, options.logitsOutput)
  const hiddenStatesOutput = options.hiddenStatesOutput ?? 'hidden_states'
  const isOutputAsItIs = found.scale === 1 && found.bias === null
  const isItself = hiddenStatesOutput === found.hiddenTensor && isOutputAsItIs
  if (!isItself && isTaken(parsed, hiddenStatesOutput)) {
    const rule = 'a name that no other tensor of the model has'
    throw invalidArgument('cut the LM head', 'hiddenStatesOutput', rule, hiddenStatesOutput)
  }
  const bodyData = new ExternalData(options.externalData?.body)
  const headData = new ExternalData(options.externalData?.head)
  return {
    body: writeBody(parsed, found, hiddenStatesOutput, bodyData),
    head: writeHead(parsed, found, hiddenStatesOutput, headData),
    hiddenStatesOutput,
    hiddenStatesType: found.hiddenDataType === 1 ? 'float32' : 'float16',
    vocabSize: found.vocabSize,
    hiddenSize: found.hiddenSize + found.paddedColumns,
    copies: [...bodyData.copies, ...headData.copies],
  }
}

function isTaken({ producers, initializers, inputs }: OnnxModel, name: string): boolean {
  return (
    producers.has(name) || initializers.has(name) || inputs.some((input) => input.name === name)
  )
}

function writeBody(
  model: OnnxModel,
  found: FoundHead,
  name: string,
  data: ExternalData,
): Uint8Array<ArrayBuffer> {
  const others = model.outputs.filter((output) => output.name !== found.logitsOutput)
  const isThereAlready = found.hiddenTensor === name
  const hidden = isThereAlready ? [] : hiddenTail(found, name)
  const kept = select(model, [...others.map((output) => output.name), found.hiddenTensor])
  const isOutput = isThereAlready && others.some((output) => output.name === name)
  const info = hiddenInfo(model, found, name)
  return writeModel(model, [
    ...kept.nodes.flatMap((node) => [node.raw]),
    ...hidden,
    ...kept.initializers.flatMap((tensor) => data.place(tensor)),
    ...model.inputs.filter((input) => !kept.isDropped(input.name)).map((input) => input.raw),
    ...others.map((output) => output.raw),
    ...(isOutput ? [] : messageField(OUTPUT, info)),
    ...model.valueInfos.filter((value) => kept.tensors.has(value.name)).map((value) => value.raw),
    ...model.otherGraphFields,
  ])
}

function writeHead(
  model: OnnxModel,
  found: FoundHead,
  name: string,
  data: ExternalData,
): Uint8Array<ArrayBuffer> {
  const product = found.productTensor
  const kept = select(model, [product], found.hiddenTensor)
  const isLogits = product === 'logits'
  const isHidden = found.hiddenTensor === name
  const logits = messageField(OUTPUT, [encode((writer) => writeInfo(writer, 'logits', found))])
  return writeModel(model, [
    ...(isHidden ? [] : headStart(found, name)),
    ...kept.nodes.map((node) => node.raw),
    ...(isLogits ? [] : [nodeField('Identity', [product], 'logits')]),
    ...kept.initializers.flatMap((tensor) => data.place(tensor)),
    encode((writer) => writer.writeStringField(GRAPH_NAME, 'lm_head')),
    ...messageField(INPUT, hiddenInfo(model, found, name)),
    ...logits,
  ])
}

const MODEL_GRAPH = 7
const GRAPH_NAME = 2
const INITIALIZER = 5
const INPUT = 11
const OUTPUT = 12

function writeModel(model: OnnxModel, graph: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concatBytes([...model.otherModelFields, ...messageField(MODEL_GRAPH, graph)])
}

interface Selection {
  nodes: OnnxNode[]
  initializers: (OnnxModel['initializers'] extends Map<string, infer T> ? T : never)[]
  /** Every tensor that is read or made. */
  tensors: Set<string>
  /** Whether a tensor is a constant that nothing reads any more. */
  isDropped: (name: string) => boolean
}

/** What is needed to compute some tensors, from the inputs on or from a tensor that is given. */
function select(model: OnnxModel, wanted: readonly string[], given?: string): Selection {
  const tensors = new Set<string>()
  const needed = new Set<OnnxNode>()
  const open = [...wanted]
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (tensors.has(name)) continue
    tensors.add(name)
    const node = name === given ? undefined : model.producers.get(name)
    if (node === undefined || needed.has(node)) continue
    needed.add(node)
    for (const output of node.outputs) tensors.add(output)
    open.push(...tensorsReadBy(node))
  }
  return {
    nodes: model.nodes.filter((node) => needed.has(node)),
    initializers: [...model.initializers.values()].filter(({ name }) => tensors.has(name)),
    tensors,
    isDropped: (name) => model.initializers.has(name) && !tensors.has(name),
  }
}

/** `ValueInfoProto` of the hidden states: the logits' free dimensions where nothing but the product lies between. */
function hiddenInfo(model: OnnxModel, found: FoundHead, name: string): Uint8Array[] {
  const logits = model.outputs.find((output) => output.name === found.logitsOutput)
  const rows = found.isDirect ? (logits?.rawDims.slice(0, -1) ?? null) : null
  return [encode((writer) => writeInfo(writer, name, found, rows))]
}

function writeInfo(
  writer: PbfWriter,
  name: string,
  found: FoundHead,
  rows: readonly Uint8Array[] | null = null,
): void {
  const writeDims = (_: null, shape: PbfWriter): void => {
    for (const row of rows ?? []) shape.writeBytesField(1, row)
    shape.writeBytesField(
      1,
      encode((dim) => dim.writeVarintField(1, found.hiddenSize + found.paddedColumns)),
    )
  }
  const writeTensor = (_: null, tensor: PbfWriter): void => {
    tensor.writeVarintField(1, found.hiddenDataType)
    if (rows !== null) tensor.writeMessage(2, writeDims, null)
  }
  writer.writeStringField(1, name)
  writer.writeMessage(
    2,
    (_: null, type: PbfWriter) => type.writeMessage(1, writeTensor, null),
    null,
  )
}

/** Start of each tensor in a file beside a model: pages can be mapped. */
const ALIGNMENT = 4096

/** Tensors that move to another file beside the model. */
class ExternalData {
  readonly copies: ExternalDataCopy[] = []
  readonly #location: string | undefined
  #end = 0

  constructor(location: string | undefined) {
    this.#location = location
  }

  /** The field of the graph for a tensor, with its new place if it moves. */
  place(tensor: Selection['initializers'][number]): Uint8Array[] {
    const to = this.#location
    if (tensor.external === null || to === undefined) return [tensor.raw]
    const { location: from, offset: fromOffset } = tensor.external
    const length = tensor.external.length ?? tensorByteLength(tensor)
    const toOffset = Math.ceil(this.#end / ALIGNMENT) * ALIGNMENT
    this.#end = toOffset + length
    this.copies.push({ from, fromOffset, length, to, toOffset })
    const others: Uint8Array[] = []
    readFields(tensor.message, (field) => {
      if (field.number !== EXTERNAL_DATA) others.push(field.raw)
    })
    const entries = { location: to, offset: String(toOffset), length: String(length) }
    const place = Object.entries(entries).flatMap(([key, value]) =>
      messageField(EXTERNAL_DATA, [
        encode((writer) => {
          writer.writeStringField(1, key)
          writer.writeStringField(2, value)
        }),
      ]),
    )
    return messageField(INITIALIZER, [...others, ...place])
  }
}

const EXTERNAL_DATA = 13
