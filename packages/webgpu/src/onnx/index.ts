/**
 * onnxruntime-web beside the fused sampler: heads out of ONNX files, tensors on a shared device.
 *
 * @module
 */
export type { LmHead } from '@flashsampling/core'
