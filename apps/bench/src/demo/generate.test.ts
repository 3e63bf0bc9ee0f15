import { createSampler } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { tinyModel } from '../../test/tiny-model.ts'
import { type GenerateOptions, generate, type StepTimes } from './generate.ts'
import { openModel } from './load-model.ts'
import { blobSource } from './model-source.ts'

/** Runs the tiny model; returns the drawn tokens, the steps and the counts. */
async function run(options: Partial<GenerateOptions> = {}) {
  const model = await openModel(blobSource(new Blob([Uint8Array.from(tinyModel())]), 'tiny'))
  const { body, lmHead } = await model.loadWeights()
  await using sampler = await createSampler({ lmHead })
  const tokenIds: number[] = []
  const steps: StepTimes[] = []
  const stats = await generate({
    body,
    sampler,
    prompts: [Array.from({ length: 40 }, (_, i) => 5 + i)],
    params: {},
    seed: 3n,
    maxTokens: 6,
    endTokenIds: new Set(),
    onToken: ({ tokenId }) => tokenIds.push(tokenId),
    onStep: (step) => {
      steps.push(step)
    },
    ...options,
  })
  return { tokenIds, steps, stats }
}

describe('generate()', () => {
  it('tells the times of every step, which add up to the whole', async () => {
    const { tokenIds, steps, stats } = await run()
    expect(tokenIds).toHaveLength(6)
    expect(steps.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4, 5])
    expect(steps[0]?.bodyMs).toBe(0)
    expect(steps.slice(1).every(({ bodyMs, headMs }) => bodyMs > 0 && headMs > 0)).toBe(true)
    expect(steps.reduce((sum, { bodyMs }) => sum + bodyMs, 0)).toBeCloseTo(stats.bodyMs, 6)
    expect(steps.reduce((sum, { headMs }) => sum + headMs, 0)).toBeCloseTo(stats.headMs, 6)
  })

  it('ends after the step in which it is told to stop, with the tokens of a whole run so far', async () => {
    const whole = await run()
    const controller = new AbortController()
    const { tokenIds, stats } = await run({
      signal: controller.signal,
      onStep: ({ step }) => {
        if (step === 2) controller.abort()
      },
    })
    expect(tokenIds).toEqual(whole.tokenIds.slice(0, 3))
    expect(stats.drawnTokens).toBe(3)
  })

  it('draws nothing when it is told to stop while it reads the prompt', async () => {
    const controller = new AbortController()
    const { tokenIds, stats } = await run({
      signal: controller.signal,
      onPromptProgress: () => controller.abort(),
    })
    expect(tokenIds).toEqual([])
    expect(stats.promptTokens).toBe(16)
  })
})
