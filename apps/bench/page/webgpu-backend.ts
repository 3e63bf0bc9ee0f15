/**
 * The part of the WebGPU package that the page loads on demand: a file of its own, so that nothing else comes with it.
 *
 * @module
 */
export { createWebGpuBackend, deviceRequirements } from '@flashsampling/webgpu'
