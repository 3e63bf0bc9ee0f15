/**
 * Tells what an ONNX model offers to a sampler.
 *
 * @module
 */
import { UnsupportedOnnxModelError } from './errors.ts'
import { findHead } from './find-head.ts'
import { dataTypeName, type OnnxModelBytes, parseModel } from './graph.ts'

/** The LM head of a model. */
export interface OnnxHeadInfo {
  /** Operation that multiplies hidden states with the weight, for example `MatMulNBits`. */
  op: string
  /** Storage of the weight, as `LmHeadShard` names it. */
  dtype: 'f32' | 'f16' | 'bf16' | 'nbits4' | 'nbits8'
  /** Tokens. */
  vocabSize: number
  /** Width of a hidden state, elements. */
  hiddenSize: number
  /** Type of the hidden states. */
  hiddenStatesType: 'float32' | 'float16'
  /** Output that the head ends in. */
  logitsOutput: string
  /** Tensor of hidden states that the head starts from. */
  hiddenStatesTensor: string
  /** Logits are the product times this; {@link cutOnnxLmHead} moves it into the body. */
  logitScale: number
  /** Whether a bias is added; {@link cutOnnxLmHead} lets hidden states end in ones for it. */
  hasBias: boolean
}

/** What {@link inspectOnnxModel} tells of a model. */
export interface OnnxModelInfo {
  /** Names of the inputs. */
  inputs: string[]
  /** Names of the outputs. */
  outputs: string[]
  /** Output that is the last hidden states already (`hidden_states` or `last_hidden_state`); `null` when there is none. */
  hiddenStatesOutput: string | null
  /** The head that can be fused; `null` when there is none. */
  head: OnnxHeadInfo | null
  /** Why there is no head; `null` when there is one. */
  headProblem: string | null
}

/** Names that exporters give to the last hidden states: onnxruntime-genai's `exclude_lm_head`, and Optimum. */
const HIDDEN_STATES_NAMES = ['hidden_states', 'last_hidden_state']

const DENSE_DTYPES: Readonly<Record<string, 'f32' | 'f16' | 'bf16'>> = {
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
}

/**
 * Tells what a model offers to a sampler: hidden states, or a head that can be cut off, or logits alone.
 *
 * @param model - The ONNX file.
 * @param options - `logitsOutput`: name of the output with the logits.
 * @returns Inputs, outputs and the head.
 * @throws {InvalidOnnxModelError} when the bytes are no ONNX model.
 */
export function inspectOnnxModel(
  model: OnnxModelBytes,
  options: { logitsOutput?: string | undefined } = {},
): OnnxModelInfo {
  const parsed = parseModel(model)
  const outputs = parsed.outputs.map(({ name }) => name)
  const names = {
    inputs: parsed.inputs.map(({ name }) => name).filter((name) => !parsed.initializers.has(name)),
    outputs,
    hiddenStatesOutput: HIDDEN_STATES_NAMES.find((name) => outputs.includes(name)) ?? null,
  }
  try {
    const found = findHead(parsed, options.logitsOutput)
    const { storage, vocabSize, hiddenSize, logitsOutput, hiddenTensor } = found
    const dtype =
      storage.kind === 'dense'
        ? (DENSE_DTYPES[dataTypeName(storage.weight.tensor.dataType)] as 'f32')
        : (`nbits${storage.bits}` as const)
    const hiddenStatesType =
      found.hiddenDataType === 1 ? ('float32' as const) : ('float16' as const)
    const head = { op: found.node.op, dtype, vocabSize, hiddenSize, hiddenStatesType, logitsOutput }
    const more = { logitScale: found.scale, hasBias: found.bias !== null }
    return {
      ...names,
      head: { ...head, hiddenStatesTensor: hiddenTensor, ...more },
      headProblem: null,
    }
  } catch (error) {
    if (!(error instanceof UnsupportedOnnxModelError)) throw error
    return { ...names, head: null, headProblem: error.message }
  }
}
