/**
 * Exact sampling of language-model tokens inside the LM-head matmul on WebGPU: a backend of `@flashsampling/core`.
 *
 * @module
 */
export { DeviceLostError, ShaderCompileError, WebGpuError } from './errors.ts'
export { createWebGpuBackend, type WebGpuBackend } from './webgpu-backend.ts'
