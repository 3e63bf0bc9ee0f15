import {
  caseFromLogits,
  createGenerator,
  makeCase,
  RowError,
  type SampleResult,
  type SamplingParams,
  sampleFromLogits,
} from '@flashsampling/core'
import { BUFFER_USAGE, MAP_MODE_READ } from '../../src/gpu-constants.ts'
import { createLmHeadSampler, createLogitsSampler, type GpuRows } from '../../src/index.ts'
import type { Check } from './check.ts'
import { equal, isTrue } from './expect.ts'
import { numberToF16 } from './half.ts'
import { watchDevice } from './watched-device.ts'

const { STORAGE, COPY_DST, COPY_SRC, MAP_READ } = BUFFER_USAGE

/** Uploads rows, each at a multiple of `stride` behind `start`. */
export function uploadRows(
  device: GPUDevice,
  rows: Float32Array,
  width: number,
  {
    dtype = 'f32' as 'f32' | 'f16',
    start = 0,
    usage = STORAGE | COPY_DST | COPY_SRC,
    gap = 0,
  } = {},
): GpuRows {
  const bytes = dtype === 'f32' ? 4 : 2
  const batchSize = rows.length / width
  const stride = (width + gap) * bytes
  const size = Math.ceil((start + batchSize * stride) / 4) * 4
  const buffer = device.createBuffer({ size, usage: usage | COPY_DST })
  const memory = new ArrayBuffer(size)
  const view = new DataView(memory)
  const offsets = Array.from({ length: batchSize }, (_, row) => start + row * stride)
  rows.forEach((value, i) => {
    const at = (offsets[Math.floor(i / width)] as number) + (i % width) * bytes
    if (dtype === 'f32') view.setFloat32(at, value, true)
    else view.setUint16(at, numberToF16(value), true)
  })
  device.queue.writeBuffer(buffer, 0, memory)
  return { buffer, dtype, offsets }
}

export async function readWords(device: GPUDevice, buffer: GPUBuffer): Promise<Int32Array> {
  const staging = device.createBuffer({ size: buffer.size, usage: MAP_READ | COPY_DST })
  const encoder = device.createCommandEncoder()
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size)
  device.queue.submit([encoder.finish()])
  await staging.mapAsync(MAP_MODE_READ)
  const words = new Int32Array(staging.getMappedRange().slice(0))
  staging.destroy()
  return words
}

function steps(count: number, params: Omit<SamplingParams, 'seed'> = {}): SamplingParams[] {
  return Array.from({ length: count }, (_, row) => ({ seed: 9n, position: row, ...params }))
}

function expectSame(actual: SampleResult, expected: SampleResult, what: string): void {
  equal(actual.tokenIds, expected.tokenIds, `tokens ${what}`)
  equal(actual.logprobs, expected.logprobs, `logprobs ${what}`)
}

/** The samplers of the package itself. */
export const SAMPLER_CHECKS: readonly Check[] = [
  {
    name: 'lm head: draws the same from hidden states on the GPU as from memory, wherever they lie',
    async run(context) {
      const device = await context.shared()
      for (const hiddenSize of [64, 13]) {
        const inputs = makeCase({
          seed: 1n,
          vocabSize: 700,
          hiddenSize,
          batchSize: 5,
          values: 'integers',
        })
        const sampler = context.keep(await createLmHeadSampler({ device, lmHead: inputs.lmHead }))
        const params = steps(5, { temperature: 8 })
        const expected = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
        const places = [
          {},
          { start: 256 },
          { start: 4, gap: 3 },
          { usage: COPY_SRC },
          ...(hiddenSize % 2 === 0
            ? [{ dtype: 'f16' as const }, { dtype: 'f16' as const, start: 8 }]
            : []),
        ]
        for (const place of places) {
          const hiddenStates = uploadRows(device, inputs.hiddenStates, hiddenSize, place)
          const result = await sampler.sample({ hiddenStates, params })
          expectSame(result, expected, `of width ${hiddenSize} at ${JSON.stringify(place)}`)
          const reversed = { ...hiddenStates, offsets: [...hiddenStates.offsets].reverse() }
          const swapped = await sampler.sample({
            hiddenStates: reversed,
            params: [...params].reverse(),
          })
          equal(
            [...swapped.tokenIds].reverse(),
            expected.tokenIds,
            'tokens of rows in another order',
          )
        }
      }
    },
  },
  {
    name: 'logits: draws the tokens of the oracle from logits on the GPU, with every parameter',
    async run(context) {
      const device = await context.shared()
      const generator = createGenerator(77n)
      for (const [dtype, vocabSize] of [
        ['f32', 3001],
        ['f16', 1025],
        ['f32', 5],
      ] as const) {
        const batchSize = 24
        // Multiples of 1/64 below 16, which both types hold.
        const logits = Float32Array.from(
          { length: batchSize * vocabSize },
          () => generator.integer(-1023, 1023) / 64,
        )
        const rows = uploadRows(device, logits, vocabSize, {
          dtype,
          start: dtype === 'f16' ? 6 : 4,
        })
        // The second scheme once: pipelines take long to compile in software.
        for (const noiseScheme of vocabSize === 3001
          ? (['flash', 'vllm'] as const)
          : (['flash'] as const)) {
          const sampler = context.keep(
            await createLogitsSampler({ device, vocabSize, noiseScheme }),
          )
          const params = Array.from(
            { length: batchSize },
            (_, row): SamplingParams => ({
              seed: BigInt(row),
              position: 3,
              temperature: [0, 0.5, 1, 2][row % 4],
              topK: row % 3 === 1 ? 20 : 0,
              topP: row % 5 === 2 ? 0.8 : 1,
              minP: row % 7 === 3 ? 0.02 : 0,
              logitBias: row % 2 === 1 ? { 1: 4.5, 3: -2 } : undefined,
              allowedTokens: row % 4 === 2 ? [0, 1, 2, 4] : undefined,
              presencePenalty: row % 6 === 5 ? 0.5 : 0,
              outputTokenIds: [0, 2],
              logprobs: row % 3,
            }),
          )
          const { tokenIds, logprobs, topLogprobs } = await sampler.sample({ logits: rows, params })
          params.forEach((row, i) => {
            const oracle = sampleFromLogits(
              logits.subarray(i * vocabSize, (i + 1) * vocabSize),
              row,
              { noiseScheme },
            )
            if (Math.min(oracle.margin, oracle.boundaryDistance) < 1e-4 && row.temperature !== 0)
              return
            const what = `row ${i} of ${vocabSize} ${dtype} logits, ${noiseScheme}`
            equal(tokenIds[i], oracle.tokenId, `token of ${what}`)
            isTrue(Math.abs((logprobs[i] as number) - oracle.logprob) < 1e-4, `logprob of ${what}`)
            const top = topLogprobs[i]
            equal(top?.logprobs.length ?? 0, oracle.topLogprobs.length, `listed tokens of ${what}`)
          })
        }
      }
    },
  },
  {
    name: "destination: writes token ids of both types into the caller's memory, behind one another",
    async run(context) {
      const device = await context.shared()
      const inputs = makeCase({ seed: 5n, vocabSize: 300, hiddenSize: 32, batchSize: 6 })
      const sampler = context.keep(await createLmHeadSampler({ device, lmHead: inputs.lmHead }))
      const params = steps(6).map((row, i) => ({
        ...row,
        numSamples: 1 + (i % 3),
        temperature: i % 2,
      }))
      for (const filters of [{}, { topP: 0.5 }]) {
        const filtered = params.map((row) => ({ ...row, ...filters }))
        const expected = await sampler.sampleTokenIds({
          hiddenStates: inputs.hiddenStates,
          params: filtered,
        })
        for (const dtype of ['i32', 'i64'] as const) {
          const words = dtype === 'i64' ? 2 : 1
          const size = 16 + expected.length * words * 4
          const buffer = device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST })
          const destination = { buffer, dtype, offset: 16 }
          await sampler.sampleInto({
            hiddenStates: inputs.hiddenStates,
            params: filtered,
            destination,
          })
          const found = (await readWords(device, buffer)).subarray(4)
          equal(
            found.filter((_, i) => i % words === 0),
            expected,
            `token ids as ${dtype}`,
          )
          if (words === 2)
            isTrue(
              found.every((word, i) => i % 2 === 0 || word === 0),
              'upper words are zero',
            )
        }
      }
    },
  },
  {
    name: 'logits: cuts a vocabulary of equal logits in order of its ids',
    async run(context) {
      const device = await context.shared()
      const vocabSize = 5003
      const batchSize = 8
      const zeros = new Float32Array(vocabSize)
      const logits = uploadRows(device, new Float32Array(batchSize * vocabSize), vocabSize)
      const sampler = context.keep(await createLogitsSampler({ device, vocabSize }))
      // Half a token of mass lies between p and either neighbour; more tokens are equal than any list holds.
      for (const filter of [{ topP: 10.5 / vocabSize }, { topP: 0.5 }, { topK: 300 }]) {
        const params = Array.from({ length: batchSize }, (_, row) => ({
          ...{ seed: 77n, position: row },
          ...filter,
        }))
        const { tokenIds } = await sampler.sample({ logits, params })
        const expected = params.map((row) => sampleFromLogits(zeros, row).tokenId)
        equal([...tokenIds], expected, `tokens of ${JSON.stringify(filter)}`)
      }
    },
  },
  {
    name: 'destination: gets -1 and -2 for rows without a valid draw',
    async run(context) {
      const device = await context.shared()
      const logits = uploadRows(device, Float32Array.of(0, 1, Number.NaN, 1, 2, 3, 5, 6, 7), 3)
      const sampler = context.keep(await createLogitsSampler({ device, vocabSize: 3 }))
      const buffer = device.createBuffer({ size: 24, usage: STORAGE | COPY_SRC })
      const params = [{ seed: 1n }, { seed: 1n, allowedTokens: [] }, { seed: 1n, temperature: 0 }]
      await sampler.sampleInto({ logits, params, destination: { buffer, dtype: 'i64' } })
      equal(await readWords(device, buffer), [-1, -1, -2, -1, 2, 0], 'words')
      const error = await sampler.sample({ logits, params }).catch((caught: unknown) => caught)
      isTrue(
        error instanceof RowError && error.code === 'INVALID_LOGITS' && error.row === 0,
        `${error}`,
      )
    },
  },
  {
    name: 'plain path: two dispatches, 4 bytes read back a row, none with a destination',
    async run(context) {
      const real = await context.shared()
      const { device, log } = watchDevice(real)
      for (const batchSize of [1, 7, 64]) {
        const inputs = makeCase({ seed: 6n, vocabSize: 500, hiddenSize: 32, batchSize })
        const sampler = context.keep(await createLmHeadSampler({ device, lmHead: inputs.lmHead }))
        const { hiddenStates } = inputs
        const params = steps(batchSize, {
          temperature: 0.7,
          logitBias: { 3: 1 },
          allowedTokens: new Int32Array(16).fill(-1),
        })
        await sampler.sampleTokenIds({ hiddenStates, params })
        Object.assign(log, { dispatches: 0, readBytes: 0 })
        await sampler.sampleTokenIds({ hiddenStates, params })
        equal(
          [log.dispatches, log.readBytes],
          [2, 4 * batchSize],
          `dispatches and bytes, ${batchSize} rows`,
        )
        const buffer = real.createBuffer({ size: 4 * batchSize, usage: STORAGE })
        Object.assign(log, { dispatches: 0, readBytes: 0 })
        await sampler.sampleInto({ hiddenStates, params, destination: { buffer, dtype: 'i32' } })
        equal([log.dispatches, log.readBytes], [2, 0], `with a destination, ${batchSize} rows`)
      }
    },
  },
  {
    name: 'memory: no buffer is as large as the logits, whatever the parameters',
    async run(context) {
      const real = await context.shared()
      for (const [batchSize, vocabSize] of [
        [1, 9001],
        [8, 9001],
      ] as const) {
        const { device, log } = watchDevice(real)
        const inputs = makeCase({ seed: 7n, vocabSize, hiddenSize: 4, batchSize, spread: 1 })
        const sampler = context.keep(await createLmHeadSampler({ device, lmHead: inputs.lmHead }))
        const { hiddenStates } = inputs
        log.buffers.length = 0
        for (const extra of [
          {},
          { topK: 40, topP: 0.9 },
          { topP: 0.9 },
          { minP: 0.05, logprobs: 20 },
          { logprobsMode: 'raw' as const, logprobs: 5 },
        ]) {
          await sampler.sample({ hiddenStates, params: steps(batchSize, extra) })
        }
        const largest = log.buffers.reduce((most, buffer) =>
          buffer.size > most.size ? buffer : most,
        )
        const logitsBytes = batchSize * vocabSize * 4
        isTrue(log.buffers.length > 5, 'buffers are made')
        isTrue(
          largest.size < logitsBytes,
          `${largest.label} has ${largest.size} bytes, the logits ${logitsBytes}`,
        )
      }
    },
  },
  {
    name: 'pieces: a head above the binding limit draws the same tokens from several pieces',
    async run(context) {
      const real = await context.shared()
      for (const dtype of ['f32', 'f16', 'q4_1', 'q6_k', 'nbits4'] as const) {
        const inputs = makeCase({ seed: 8n, vocabSize: 1500, hiddenSize: 256, batchSize: 3, dtype })
        const params = steps(3)
        const whole = context.keep(
          await createLmHeadSampler({ device: real, lmHead: inputs.lmHead }),
        )
        const expected = await whole.sampleTokenIds({ hiddenStates: inputs.hiddenStates, params })
        const { device, log } = watchDevice(real, { maxStorageBufferBindingSize: 2 ** 17 })
        const cut = context.keep(await createLmHeadSampler({ device, lmHead: inputs.lmHead }))
        const weights = log.buffers.filter(({ label }) => label === 'flashsampling weight')
        isTrue(weights.length > 1, `${dtype}: pieces`)
        isTrue(
          weights.every(({ size }) => size <= 2 ** 17),
          `${dtype}: sizes of pieces`,
        )
        equal(
          await cut.sampleTokenIds({ hiddenStates: inputs.hiddenStates, params }),
          expected,
          `tokens of ${dtype}`,
        )
        await cut.dispose()
        await whole.dispose()
      }
    },
  },
  {
    name: 'calls: overlapping calls of every kind draw as if they came one by one',
    async run(context) {
      const device = await context.shared()
      const inputs = caseFromLogits(
        Float32Array.from({ length: 900 }, (_, i) => (i % 17) / 4),
        2,
      )
      const sampler = context.keep(await createLmHeadSampler({ device, lmHead: inputs.lmHead }))
      const { hiddenStates } = inputs
      const calls = Array.from({ length: 12 }, (_, call) =>
        steps(2, { drawIndex: call, ...(call % 3 === 1 ? { topP: 0.4 } : {}) }),
      )
      const together = await Promise.all(
        calls.map((params, call) =>
          call % 2 === 0
            ? sampler.sampleTokenIds({ hiddenStates, params })
            : sampler.sample({ hiddenStates, params }).then(({ tokenIds }) => tokenIds),
        ),
      )
      for (const [call, params] of calls.entries()) {
        equal(
          together[call],
          await sampler.sampleTokenIds({ hiddenStates, params }),
          `call ${call}`,
        )
        const expected = params.map(
          (row) => sampleFromLogits(inputs.logits[0] as Float64Array, row).tokenId,
        )
        equal(together[call], expected, `oracle of call ${call}`)
      }
    },
  },
]
