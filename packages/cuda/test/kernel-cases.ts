/** Cases of the kernels' host tests, as the programs of `native/` read them (`native/kernel_case.h`). */
import { expect } from 'vitest'
import type { HostProgram } from './host-program.ts'

const FLAGS = {
  temperatures: 1,
  bias: 2,
  mask: 4,
  sharedRow: 8,
  numSamples: 16,
  int64: 32,
  padded: 64,
  maskedRow: 128,
  logprobs: 256,
  invalid: 512,
  misaligned: 1024,
  greedy: 2048,
  hot: 4096,
} as const

export type Flag = keyof typeof FLAGS

export interface KernelCase {
  /** 0 bf16, 1 f16, 2 f32 (logits only). */
  type?: number
  batchSize?: number
  vocabSize?: number
  vocabStart?: number
  hiddenSize?: number
  numDraws?: number
  /** 0 flash, 1 vllm. */
  scheme?: number
  /** 0 transformed, 1 raw. */
  mode?: number
  flags?: Flag[]
}

/**
 * Runs cases, each with its own random numbers; every answer must say how many rows were equal.
 *
 * @param program - Runs the kernel and a plain loop over the tokens.
 * @param cases - What is not given has small defaults.
 * @param own - What the program reads of a case beyond {@link KernelCase}.
 */
export function expectEqual<Case extends KernelCase>(
  program: HostProgram,
  cases: readonly Case[],
  own: (options: Case) => (string | number)[],
): void {
  const commands = cases.map((options, index) => {
    const { type = 0, batchSize = 3, vocabSize = 300, vocabStart = 0, hiddenSize = 72 } = options
    const { numDraws = 1, scheme = 0, mode = 0, flags = [] } = options
    const bits = flags.reduce((sum, flag) => sum | FLAGS[flag], 0)
    const shape = [type, batchSize, vocabSize, vocabStart, hiddenSize, numDraws]
    return [...shape, scheme, mode, bits, index + 1, ...own(options)].join(' ')
  })
  const answers = program(commands).map((answer) => answer.join(' '))
  const outcomes = commands.map((command, i) => `${command}: ${answers[i]}`)
  expect(outcomes).toEqual(
    commands.map((command, i) => `${command}: ${cases[i]?.batchSize ?? 3} equal`),
  )
}

/** Every combination of one value for each key. */
export function combine<Case extends object>(choices: { [K in keyof Case]: Case[K][] }): Case[] {
  return Object.entries<unknown[]>(choices).reduce<object[]>(
    (cases, [key, values]) =>
      cases.flatMap((one) => values.map((value) => ({ ...one, [key]: value }))),
    [{}],
  ) as Case[]
}
