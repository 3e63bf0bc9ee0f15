/**
 * Exact sampling of language-model tokens inside the LM-head matmul on WebGPU: a backend of `@flashsampling/core`.
 *
 * @module
 */
export type { LmHead } from '@flashsampling/core'
