/**
 * The WebAssembly kernels: inlined as text at build time from `assembly/`, compiled once per program.
 *
 * @module
 */
import { SHARED_MEMORY_KERNELS, SINGLE_MEMORY_KERNELS } from './wasm-binary.generated.ts'

/** What the kernels export. */
export interface KernelExports {
  /** Takes tiles until none is left and folds them into the thread's row states. */
  scan(job: number, thread: number): void
  /** Fills f32 noise of the bits `[firstBits, firstBits + count)`, count a multiple of 4; scheme 0 flash, 1 vllm. */
  fillNoise(out: number, firstBits: number, count: number, scheme: number): void
}

// A module with one function that uses a SIMD instruction: i8x16.splat, drop.
const SIMD_PROBE = Uint8Array.of(
  ...[
    0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26,
    11,
  ],
)

/** Whether this engine runs WebAssembly SIMD. */
export function hasWasmSimd(): boolean {
  return typeof WebAssembly === 'object' && WebAssembly.validate(SIMD_PROBE)
}

const modules: Partial<Record<'shared' | 'single', Promise<WebAssembly.Module>>> = {}

/**
 * Instantiates the kernels on a memory.
 *
 * @param memory - Weights and workspace.
 * @param isShared - Whether the memory is shared.
 * @returns The exports, and the module for worker threads.
 */
export async function instantiateKernels(
  memory: WebAssembly.Memory,
  isShared: boolean,
): Promise<KernelExports & { module: WebAssembly.Module }> {
  const kind = isShared ? 'shared' : 'single'
  modules[kind] ??= WebAssembly.compile(
    decodeBase64(isShared ? SHARED_MEMORY_KERNELS : SINGLE_MEMORY_KERNELS),
  )
  const module = await modules[kind]
  const { exports } = await WebAssembly.instantiate(module, { env: { memory } })
  const { scan, fillNoise } = exports as unknown as KernelExports
  return { scan, fillNoise, module }
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}
