import { createSampler } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { describeError } from './run-program.ts'
import { UserError } from './user-error.ts'

const thrownBy = (action: () => Promise<unknown>): Promise<unknown> =>
  action().then(
    () => null,
    (error: unknown) => error,
  )

describe('describeError()', () => {
  it('gives the message alone for errors that are the user to solve, core included', async () => {
    await using sampler = await createSampler({
      lmHead: { dtype: 'f32', vocabSize: 2, hiddenSize: 1, data: Float32Array.of(1, 2) },
    })
    const sample = (value: number, params: object): Promise<unknown> =>
      thrownBy(() =>
        sampler.sample({ hiddenStates: Float32Array.of(value), params: { seed: 1n, ...params } }),
      )
    const errors: [unknown, RegExp][] = [
      [new UserError('Cannot read x: do y'), /^error: Cannot read x: do y\n$/],
      [
        await sample(1, { temperature: -1 }),
        /^error: Cannot sample tokens as "temperature" .* is -1\n$/,
      ],
      [
        await sample(Number.NaN, {}),
        /^error: Cannot sample tokens as the hidden states of row 0 .*\n$/,
      ],
      [await sample(1, { allowedTokens: [] }), /^error: Cannot sample tokens as every token .*\n$/],
    ]
    for (const [error, message] of errors) expect(describeError(error, false)).toMatch(message)
  })

  it('owns up to a defect, without a stack trace', () => {
    const text = describeError(new TypeError('x is not a function'), false)
    expect(text).toMatch(
      /^error: x is not a function\nThis is a defect of the command: .*FLASHSAMPLING_DEBUG=1/,
    )
    expect(text).not.toMatch(/^\s+at /m)
  })

  it('adds the stack traces of error and cause on request', () => {
    const text = describeError(new UserError('outer', { cause: new Error('inner') }), true)
    expect(text).toMatch(
      /error: outer\nUserError: outer\n\s+at [\s\S]*caused by: Error: inner\n\s+at /,
    )
  })
})
