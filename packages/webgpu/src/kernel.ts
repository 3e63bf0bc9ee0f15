/**
 * Kernels as records, and the cache of their pipelines.
 *
 * @module
 */
import { ShaderCompileError } from './errors.ts'
import { STAGE_COMPUTE } from './gpu-constants.ts'

/** How a kernel uses one binding. */
export type BindingKind = 'uniform' | 'read' | 'write'

/** A kernel: what a pipeline is made from. */
export interface Kernel {
  /** Name in messages and tools. */
  label: string
  /** WGSL that is chosen by the kernel's variant, then the kernel itself. */
  sources: readonly string[]
  /** Constants of the module; they size arrays, so they are text, not overrides. */
  constants: Readonly<Record<string, number | boolean>>
  /** Kind of each binding, in order. */
  bindings: readonly BindingKind[]
  /** Whether the module uses subgroups. */
  usesSubgroups?: boolean
}

/** A compiled kernel. */
export interface CompiledKernel {
  pipeline: GPUComputePipeline
  layout: GPUBindGroupLayout
}

/**
 * The WGSL module of a kernel.
 *
 * @param kernel - The kernel.
 * @returns Source text.
 */
export function composeShader(kernel: Kernel): string {
  const constants = Object.entries(kernel.constants).map(([name, value]) =>
    typeof value === 'boolean'
      ? `const ${name}: bool = ${value};`
      : name === 'ZERO_POINT'
        ? `const ${name}: f32 = ${value.toFixed(1)};`
        : `const ${name}: u32 = ${value}u;`,
  )
  return [
    ...(kernel.usesSubgroups === true ? ['enable subgroups;'] : []),
    ...constants,
    ...unroll(kernel.sources.join('\n').split('\n'), kernel.constants),
  ].join('\n')
}

/**
 * Repeats the lines between `#for NAME CONSTANT` and its `#end`, with `$NAME` as the number of the repetition, and
 * replaces sums of products such as `$($r*TOKENS+$t)` by their value.
 */
function unroll(lines: readonly string[], constants: Kernel['constants']): string[] {
  const out: string[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    const [, name = '', constant = ''] = /^#for (\w+) (\w+)$/.exec(line) ?? []
    if (name === '') {
      out.push(line.replace(/\$\(([^()]+)\)/g, (_, sum: string) => evaluate(sum, constants)))
      continue
    }
    const first = at + 1
    for (let depth = 1; depth > 0; ) {
      const next = lines[++at] as string
      depth += next.startsWith('#for ') ? 1 : next === '#end' ? -1 : 0
    }
    for (let i = 0; i < Number(constants[constant]); i++) {
      const body = lines.slice(first, at).map((text) => text.replaceAll(`$${name}`, String(i)))
      out.push(...unroll(body, constants))
    }
  }
  return out
}

function evaluate(sum: string, constants: Kernel['constants']): string {
  const numberOf = (factor: string): number => Number(constants[factor] ?? factor)
  const products = sum.split('+').map((product) => product.split('*').map(numberOf))
  return String(products.reduce((total, factors) => total + factors.reduce((a, b) => a * b), 0))
}

/** Pipelines of one device, each compiled once. */
export class PipelineCache {
  readonly #device: GPUDevice
  readonly #compiled = new Map<string, Promise<CompiledKernel>>()
  /** Numbers of texts, as keys of whole kernels would be long to make for every call. */
  readonly #textNumbers = new Map<string, number>()

  constructor(device: GPUDevice) {
    this.#device = device
  }

  /**
   * Compiles a kernel, or finds it compiled.
   *
   * @param kernel - The kernel.
   * @returns Its pipeline.
   * @throws {ShaderCompileError} when the device refuses it.
   */
  get(kernel: Kernel): Promise<CompiledKernel> {
    const { label, sources, constants, bindings, usesSubgroups } = kernel
    const texts = sources.map((text) => this.#numberOf(text))
    const key = JSON.stringify([label, texts, constants, bindings, usesSubgroups])
    let compiled = this.#compiled.get(key)
    if (compiled === undefined) {
      compiled = compile(this.#device, kernel, composeShader(kernel))
      this.#compiled.set(key, compiled)
      // A failure is not kept: the next call may find a device that recovered.
      compiled.catch(() => this.#compiled.delete(key))
    }
    return compiled
  }

  #numberOf(text: string): number {
    const found = this.#textNumbers.get(text) ?? this.#textNumbers.size
    this.#textNumbers.set(text, found)
    return found
  }
}

async function compile(device: GPUDevice, kernel: Kernel, code: string): Promise<CompiledKernel> {
  const { label } = kernel
  device.pushErrorScope('validation')
  const module = device.createShaderModule({ label, code })
  const layout = device.createBindGroupLayout({
    label,
    entries: kernel.bindings.map((kind, binding) => ({
      binding,
      visibility: STAGE_COMPUTE,
      buffer: { type: BUFFER_TYPES[kind] },
    })),
  })
  const pending = device.createComputePipelineAsync({
    label,
    layout: device.createPipelineLayout({ label, bindGroupLayouts: [layout] }),
    compute: { module, entryPoint: 'main' },
  })
  const scope = device.popErrorScope()
  try {
    const [pipeline, error] = await Promise.all([pending, scope])
    if (error !== null) throw new Error(error.message)
    return { pipeline, layout }
  } catch (cause) {
    await scope.catch(() => null)
    throw new ShaderCompileError(label, await messagesOf(module, cause), { cause })
  }
}

const BUFFER_TYPES: Record<BindingKind, GPUBufferBindingType> = {
  uniform: 'uniform',
  read: 'read-only-storage',
  write: 'storage',
}

async function messagesOf(module: GPUShaderModule, cause: unknown): Promise<string[]> {
  const { messages } = await module.getCompilationInfo()
  const errors = messages.filter(({ type }) => type === 'error')
  if (errors.length > 0) return errors.map((e) => `line ${e.lineNum}: ${e.message}`)
  return [cause instanceof Error ? cause.message : String(cause)]
}
