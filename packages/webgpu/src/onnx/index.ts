/**
 * ONNX models beside the fused sampler: LM heads out of ONNX files, models without their head, and tensors that
 * onnxruntime-web leaves on the GPU.
 *
 * @module
 */
export {
  type CutOnnxLmHeadOptions,
  type CutOnnxModel,
  cutOnnxLmHead,
  type ExternalDataCopy,
} from './cut-head.ts'
export {
  InvalidOnnxModelError,
  UnsupportedOnnxModelError,
  UnsupportedTensorError,
} from './errors.ts'
export type { OnnxModelBytes } from './graph.ts'
export { inspectOnnxModel, type OnnxHeadInfo, type OnnxModelInfo } from './inspect.ts'
export type { OnnxLmHead } from './onnx-lm-head.ts'
export {
  createOnnxLmHeadSampler,
  createOnnxLogitsSampler,
  type OnnxInputIds,
  type OnnxSampleOptions,
  type OnnxSampler,
} from './onnx-sampler.ts'
export type { OrtModule, OrtTensor } from './ort-tensors.ts'
export { type ReadOnnxLmHeadOptions, readOnnxLmHead } from './read-head.ts'
export type { ExternalDataLoader } from './tensor-data.ts'
