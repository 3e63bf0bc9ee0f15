/**
 * What the backend promises beyond the conformance kit: batches of mixed rows, device memory, life cycle and errors. The
 * same list runs on a GPU and on host memory, in vitest and as a program without a test framework.
 */
import assert from 'node:assert/strict'
import {
  createSampler,
  FlashSamplingError,
  type LmHead,
  type LmHeadShard,
  makeCase,
  type SampleResult,
  type Sampler,
  type SamplingParams,
  splitHead,
  type TestCase,
} from '@flashsampling/core'
import { loadAddon } from '../../src/addon.ts'
import type { NativeSampleCall } from '../../src/addon-types.ts'
import { type CudaBackend, type CudaKernel, createCudaBackend } from '../../src/index.ts'

/** What a check works with; everything made through it is disposed when the check ends. */
export class CheckContext {
  readonly kernel: CudaKernel
  readonly #opened: { dispose(): void | Promise<void> }[] = []

  constructor(kernel: CudaKernel) {
    this.kernel = kernel
  }

  backend(): CudaBackend {
    return this.keep(createCudaBackend({ kernel: this.kernel }))
  }

  async sampler(lmHead: LmHead, backend: CudaBackend = this.backend()): Promise<Sampler> {
    return this.keep(await createSampler({ lmHead, backend }))
  }

  keep<T extends { dispose(): void | Promise<void> }>(opened: T): T {
    this.#opened.push(opened)
    return opened
  }

  async dispose(): Promise<void> {
    for (const opened of this.#opened.reverse()) await opened.dispose()
  }
}

/** One fact with the code that checks it. */
export interface Check {
  name: string
  run(context: CheckContext): Promise<void>
}

/**
 * Runs one check.
 *
 * @param check - The fact.
 * @param kernel - Kernel of its backends.
 * @throws Error when the fact does not hold.
 */
export async function runCheck(check: Check, kernel: CudaKernel): Promise<void> {
  const context = new CheckContext(kernel)
  try {
    await check.run(context)
  } finally {
    await context.dispose()
  }
}

function testCase(options: Partial<Parameters<typeof makeCase>[0]> = {}): TestCase {
  return makeCase({
    ...{ seed: 1n, vocabSize: 500, hiddenSize: 64, batchSize: 6, dtype: 'bf16' },
    ...options,
  })
}

function rowOf({ hiddenStates, hiddenSize }: TestCase, row: number): Float32Array {
  return hiddenStates.slice(row * hiddenSize, (row + 1) * hiddenSize)
}

/** Draws row by row and demands what the batch gave: the same tokens, log-probabilities within rounding. */
async function expectSameAsAlone(
  sampler: Sampler,
  inputs: TestCase,
  params: readonly SamplingParams[],
  batch: SampleResult,
): Promise<void> {
  for (const [row, rowParams] of params.entries()) {
    const alone = await sampler.sample({ hiddenStates: rowOf(inputs, row), params: rowParams })
    const [start, end] = [batch.rowOffsets[row], batch.rowOffsets[row + 1]]
    assert.deepEqual(batch.tokenIds.slice(start, end), alone.tokenIds, `tokens of row ${row}`)
    alone.logprobs.forEach((logprob, draw) => {
      const got = batch.logprobs[(start as number) + draw] as number
      assert.ok(Math.abs(got - logprob) < 1e-5, `logprob of row ${row}: ${got}, alone ${logprob}`)
    })
  }
}

async function rejectsWith(
  call: Promise<unknown> | (() => unknown),
  expected: { code?: string; name?: string; message?: RegExp },
): Promise<Error> {
  let caught: unknown
  try {
    await (typeof call === 'function' ? call() : call)
  } catch (error) {
    caught = error
  }
  assert.ok(caught instanceof Error, `expected an error with ${JSON.stringify(expected)}`)
  if (expected.code !== undefined) {
    assert.ok(FlashSamplingError.isInstance(caught), `${caught.name}: ${caught.message}`)
    assert.equal(caught.code, expected.code)
  }
  if (expected.name !== undefined) assert.equal(caught.name, expected.name, caught.message)
  if (expected.message !== undefined) assert.match(caught.message, expected.message)
  return caught
}

const steps = (count: number, params: Partial<SamplingParams> = {}): SamplingParams[] =>
  Array.from({ length: count }, (_, row) => ({ seed: 5n, position: BigInt(row), ...params }))

const sessionChecks: Check[] = [
  {
    name: 'batches: rows may ask for raw and for transformed log-probabilities side by side',
    async run(context) {
      const inputs = testCase()
      const sampler = await context.sampler(inputs.lmHead)
      const params = steps(6).map(
        (row, i): SamplingParams => ({
          ...row,
          temperature: 0.5,
          logprobsMode: i % 2 === 0 ? 'raw' : 'transformed',
          logitBias: { 7: 3 },
        }),
      )
      const batch = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
      await expectSameAsAlone(sampler, inputs, params, batch)
      assert.equal(batch.stats.passes, 2)
      const raw = await sampler.sample({
        hiddenStates: rowOf(inputs, 1),
        params: { ...params[1], seed: 5n, logprobsMode: 'raw' },
      })
      const difference = Math.abs((raw.logprobs[0] as number) - (batch.logprobs[1] as number))
      assert.ok(difference > 1e-3, 'raw and transformed log-probabilities differ')
    },
  },
  {
    name: 'batches: every row has its own number of draws, at consecutive draw indices',
    async run(context) {
      const inputs = testCase()
      const sampler = await context.sampler(inputs.lmHead)
      const counts = [1, 3, 2, 33, 1, 8]
      const params = steps(6).map((row, i) => ({ ...row, numSamples: counts[i], drawIndex: i }))
      const batch = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
      assert.deepEqual([...batch.rowOffsets], [0, 1, 4, 6, 39, 40, 48])
      assert.ok(batch.tokenIds.every((tokenId) => tokenId >= 0 && tokenId < 500))
      assert.ok(batch.logprobs.every((logprob) => logprob <= 1e-5))
      for (const [row, count] of counts.entries()) {
        for (let draw = 0; draw < count; draw++) {
          const alone = await sampler.sample({
            hiddenStates: rowOf(inputs, row),
            params: { seed: 5n, position: BigInt(row), drawIndex: row + draw },
          })
          const at = (batch.rowOffsets[row] as number) + draw
          assert.equal(batch.tokenIds[at], alone.tokenIds[0], `row ${row}, draw ${draw}`)
        }
      }
    },
  },
  {
    name: 'batches: more rows than one call takes give the tokens of smaller batches',
    async run(context) {
      const inputs = testCase({ vocabSize: 70, hiddenSize: 8, batchSize: 2500 })
      const sampler = await context.sampler(inputs.lmHead)
      const params = steps(2500)
      const whole = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
      assert.equal(whole.stats.passes, 3)
      for (let start = 0; start < 2500; start += 100) {
        const part = await sampler.sample({
          hiddenStates: inputs.hiddenStates.slice(start * 8, (start + 100) * 8),
          params: params.slice(start, start + 100),
        })
        assert.deepEqual(part.tokenIds, whole.tokenIds.slice(start, start + 100))
      }
    },
  },
  {
    name: 'batches: masks and biases of single rows leave the others alone',
    async run(context) {
      const inputs = testCase()
      const sampler = await context.sampler({ shards: splitHead(inputs.lmHead, 3) })
      const params = steps(6)
      params[1] = { ...params[1], seed: 5n, allowedTokens: [11, 480] }
      params[2] = { ...params[2], seed: 5n, logitBias: { 13: 40, 14: -Infinity } }
      params[4] = { seed: 5n, allowedTokens: [13, 14, 15], logitBias: { 15: 50, 14: 60 } }
      const batch = await sampler.sample({ hiddenStates: inputs.hiddenStates, params })
      await expectSameAsAlone(sampler, inputs, params, batch)
      assert.ok([11, 480].includes(batch.tokenIds[1] as number))
      assert.equal(batch.tokenIds[2], 13)
      assert.equal(batch.tokenIds[4], 14)
    },
  },
  {
    name: 'batches: logits that overflow in one shard invalidate their rows, whatever the other shards hold',
    async run(context) {
      const inputs = testCase({ values: 'integers' })
      const { vocabSize, hiddenSize, lmHead } = inputs
      const data = (lmHead.data as Uint16Array).slice()
      // Column 0 is zero except for one token, whose weight is 2^127 as bf16.
      for (let token = 0; token < vocabSize; token++) data[token * hiddenSize] = 0
      for (const token of [0, vocabSize - 1]) {
        const weights = data.slice()
        weights[token * hiddenSize] = 0x7f00
        const shards = splitHead({ ...lmHead, data: weights }, 3)
        const sampler = await context.sampler({ shards })
        const hiddenStates = inputs.hiddenStates.slice()
        for (let row = 0; row < 6; row++) {
          hiddenStates[row * hiddenSize] = row === 1 || row === 4 ? 2 ** 127 : 0
        }
        const params = steps(6)
        const error = await rejectsWith(sampler.sample({ hiddenStates, params }), {
          code: 'INVALID_LOGITS',
          name: 'RowError',
        })
        assert.deepEqual('rows' in error && error.rows, [1, 4])
        hiddenStates[hiddenSize] = 0
        hiddenStates[4 * hiddenSize] = 0
        const { tokenIds } = await sampler.sample({ hiddenStates, params })
        const whole = await context.sampler({ ...lmHead, data })
        assert.deepEqual(tokenIds, (await whole.sample({ hiddenStates, params })).tokenIds)
      }
    },
  },
  {
    name: 'batches: temperatures beyond the range of fp32 act as the nearest one inside',
    async run(context) {
      const inputs = testCase({ values: 'integers' })
      const sampler = await context.sampler(inputs.lmHead)
      const draw = async (temperature: number): Promise<SampleResult> =>
        sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(6, { temperature }) })
      assert.deepEqual((await draw(1e-300)).tokenIds, (await draw(2 ** -60)).tokenIds)
      assert.deepEqual((await draw(1e300)).tokenIds, (await draw(3e38)).tokenIds)
      assert.ok(
        (await draw(1e300)).logprobs.every((logprob) => Math.abs(logprob + Math.log(500)) < 1e-4),
      )
    },
  },
  {
    name: 'batches: hidden states that do not fit f16 name their rows',
    async run(context) {
      const inputs = testCase({ dtype: 'f16', batchSize: 4 })
      const sampler = await context.sampler(inputs.lmHead)
      const hiddenStates = inputs.hiddenStates.slice()
      hiddenStates[64 + 3] = 65519
      hiddenStates[2 * 64 + 63] = -65520
      const error = await rejectsWith(sampler.sample({ hiddenStates, params: steps(4) }), {
        code: 'INVALID_LOGITS',
        name: 'RowError',
      })
      assert.deepEqual('rows' in error && error.rows, [2])
      await sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(4) })
    },
  },
]

const bufferChecks: Check[] = [
  {
    name: 'buffers: a head in device memory draws like one that is uploaded, in two samplers',
    async run(context) {
      const inputs = testCase({ vocabSize: 3000 })
      const data = inputs.lmHead.data as Uint16Array
      const backend = context.backend()
      const buffer = context.keep(backend.allocate(data.byteLength))
      assert.equal(buffer.byteLength, data.byteLength)
      const half = data.length / 2
      await buffer.write(data.subarray(0, half))
      await buffer.write(data.subarray(half), half * 2)
      const lmHead: LmHeadShard = { ...inputs.lmHead, data: buffer }
      const samplers = [
        await context.sampler(inputs.lmHead, backend),
        await context.sampler(lmHead, backend),
        await context.sampler(lmHead, backend),
      ]
      // Samplers keep the memory alive.
      buffer.dispose()
      const results = await Promise.all(
        samplers.map((sampler) =>
          sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(6) }),
        ),
      )
      assert.deepEqual(results[1]?.tokenIds, results[0]?.tokenIds)
      assert.deepEqual(results[2]?.tokenIds, results[0]?.tokenIds)
      assert.deepEqual(results[2]?.logprobs, results[0]?.logprobs)
      await rejectsWith(context.sampler(lmHead, backend), { code: 'DISPOSED' })
      await rejectsWith(buffer.write(data), { code: 'DISPOSED', name: 'DisposedError' })
    },
  },
  {
    name: 'buffers: refuse what does not fit them',
    async run(context) {
      const backend = context.backend()
      const buffer = context.keep(backend.allocate(1024))
      await rejectsWith(buffer.write(new Uint8Array(1025)), { name: 'RangeError' })
      await rejectsWith(buffer.write(new Uint8Array(24), 1001), { name: 'RangeError' })
      await rejectsWith(buffer.write(new Uint8Array(24), -1), { name: 'RangeError' })
      await rejectsWith(buffer.write(new Uint8Array(24), 0.5), { name: 'RangeError' })
      await rejectsWith(buffer.write([1, 2] as unknown as Uint8Array), { name: 'TypeError' })
      await buffer.write(new Uint8Array(24), 1000)
      await buffer.write(new Uint8Array(0))
      for (const size of [0, -1, 1.5, Number.NaN, 2 ** 60]) {
        await rejectsWith(() => backend.allocate(size), { name: 'RangeError' })
      }
      await rejectsWith(() => backend.allocate('1' as unknown as number), { name: 'TypeError' })
      const head = { dtype: 'bf16', hiddenSize: 16, vocabSize: 33, data: buffer } as const
      await rejectsWith(context.sampler(head, backend), { name: 'RangeError' })
      const odd = { dtype: 'bf16', hiddenSize: 12, vocabSize: 33, data: buffer } as const
      await rejectsWith(context.sampler(odd, backend), {
        name: 'RangeError',
        message: /"lmHead.hiddenSize" must be a multiple of 8/,
      })
      const foreign = { backend: 'cuda', byteLength: 1024 }
      await rejectsWith(
        context.sampler({ dtype: 'bf16', hiddenSize: 16, vocabSize: 32, data: foreign }, backend),
        { name: 'TypeError', message: /from allocate\(\)/ },
      )
    },
  },
]

const lifeCycleChecks: Check[] = [
  {
    name: 'life cycle: samplers give their device memory back',
    async run(context) {
      const backend = context.backend()
      const data = new Uint16Array(2048 * 4096)
      for (let round = 0; round < 40; round++) {
        const sampler = await createSampler({
          lmHead: { dtype: 'bf16', vocabSize: 2048, hiddenSize: 4096, data },
          backend,
        })
        await sampler.dispose()
        const buffer = backend.allocate(16 * 2 ** 20)
        buffer.dispose()
        buffer.dispose()
      }
    },
  },
  {
    name: 'life cycle: a disposed backend refuses new samplers, and old ones live on',
    async run(context) {
      const inputs = testCase()
      const backend = createCudaBackend({ kernel: context.kernel })
      const sampler = await context.sampler(inputs.lmHead, backend)
      const buffer = context.keep(backend.allocate(64))
      backend.dispose()
      backend.dispose()
      await sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(6) })
      await buffer.write(new Uint8Array(64))
      await rejectsWith(() => backend.allocate(64), { code: 'DISPOSED' })
      await rejectsWith(context.sampler(inputs.lmHead, backend), {
        code: 'DISPOSED',
        message: /CUDA backend/,
      })
    },
  },
  {
    name: 'life cycle: a session refuses calls after its disposal',
    async run(context) {
      const inputs = testCase({ batchSize: 1 })
      const shard = { ...inputs.lmHead, vocabStart: 0 }
      const session = await context
        .backend()
        .createSession({ shards: [shard], noiseScheme: 'flash' })
      await session.dispose()
      await session.dispose()
      const rows: never[] = []
      const call = session.sample({ hiddenStates: inputs.hiddenStates, batchSize: 0, rows })
      // No rows, no call: nothing to refuse.
      assert.equal((await call).tokenIds.length, 0)
      const row = {
        ...{ temperature: 1, topK: 0, topP: 1, minP: 0, seed: 1n, position: 0n, drawIndex: 0 },
        ...{ numSamples: 1, repetitionPenalty: 1, edits: [], allowedMask: null, logprobs: 0 },
        logprobsMode: 'transformed' as const,
      }
      await rejectsWith(
        session.sample({ hiddenStates: inputs.hiddenStates, batchSize: 1, rows: [row] }),
        { code: 'DISPOSED', name: 'DisposedError' },
      )
    },
  },
]

const errorChecks: Check[] = [
  {
    name: 'errors: memory that is not there is reported with its size',
    async run(context) {
      const backend = context.backend()
      const error = await rejectsWith(() => backend.allocate(2 ** 45), {
        code: 'OUT_OF_MEMORY',
        name: 'OutOfMemoryError',
      })
      assert.equal('requestedBytes' in error && error.requestedBytes, 2 ** 45)
      // And nothing is broken by it.
      const inputs = testCase()
      const sampler = await context.sampler(inputs.lmHead, backend)
      await sampler.sample({ hiddenStates: inputs.hiddenStates, params: steps(6) })
    },
  },
  {
    name: 'errors: options of the backend are checked',
    async run() {
      const create = (options: unknown) => (): unknown => createCudaBackend(options as never)
      await rejectsWith(create({ deviceIndex: -1 }), { name: 'RangeError' })
      await rejectsWith(create({ deviceIndex: 0.5 }), { name: 'RangeError' })
      await rejectsWith(create({ deviceIndex: 4096 }), {
        name: 'RangeError',
        message: /"deviceIndex" must be .*: current value is 4096/,
      })
      await rejectsWith(create({ deviceIndex: '0' }), { name: 'TypeError' })
      await rejectsWith(create({ kernel: 'sm70' }), { name: 'RangeError' })
      await rejectsWith(create(null), { name: 'TypeError' })
    },
  },
  {
    name: 'errors: heads and parameters outside the capabilities are refused',
    async run(context) {
      const backend = context.backend()
      const inputs = testCase()
      await rejectsWith(context.sampler(testCase({ dtype: 'f32' }).lmHead, backend), {
        code: 'UNSUPPORTED_FEATURE',
        message: /bf16, f16: current value is "f32"/,
      })
      const [first, second] = splitHead(inputs.lmHead, 2)
      const mixed = [first, { ...second, dtype: 'f16' }] as LmHeadShard[]
      await rejectsWith(context.sampler({ shards: mixed }, backend), {
        code: 'UNSUPPORTED_FEATURE',
      })
      const sampler = await context.sampler(inputs.lmHead, backend)
      for (const params of [
        { topK: 3 },
        { topP: 0.5 },
        { minP: 0.5 },
        { presencePenalty: 1, outputTokenIds: [3] },
        { logprobs: 1 },
      ]) {
        await rejectsWith(
          sampler.sample({ hiddenStates: inputs.hiddenStates, params: { seed: 1n, ...params } }),
          { code: 'UNSUPPORTED_FEATURE' },
        )
      }
      for (const temperature of [-1, Number.NaN, Infinity]) {
        await rejectsWith(
          sampler.sample({ hiddenStates: inputs.hiddenStates, params: { seed: 1n, temperature } }),
          { name: 'RangeError', message: /"temperature" must be >= 0/ },
        )
      }
      await rejectsWith(
        sampler.sample({ hiddenStates: new Float32Array(63), params: { seed: 1n } }),
        { name: 'RangeError' },
      )
    },
  },
  {
    name: 'errors: a head whose memory is taken away during the upload fails without harm',
    async run(context) {
      const backend = context.backend()
      const data = new Uint16Array(4096 * 4096)
      const lmHead = { dtype: 'bf16', vocabSize: 4096, hiddenSize: 4096, data } as const
      const call = createSampler({ lmHead, backend })
      structuredClone(data.buffer, { transfer: [data.buffer] })
      await rejectsWith(call, { name: 'TypeError' })
      const inputs = testCase()
      await context.sampler(inputs.lmHead, backend)
    },
  },
  {
    name: 'addon: calls with wrong arguments throw and break nothing',
    async run() {
      const { Context, deviceProperties } = loadAddon().addon
      for (const index of [-1, 1.5, Number.NaN, '0', undefined, null, {}]) {
        assert.throws(() => new Context(index as number))
        assert.throws(() => deviceProperties(index as number))
      }
      assert.throws(() => new Context(4096))
      const context = new Context(0)
      for (const size of [0, -1, 2 ** 53, '8', null]) {
        assert.throws(() => context.allocate(size as number))
      }
      const buffer = context.allocate(4096)
      assert.throws(() => buffer.write.call({}, new Uint8Array(8), 0, 8, 8))
      const Buffer = buffer.constructor as unknown as new (parts?: unknown) => unknown
      assert.throws(() => new Buffer())
      assert.throws(() => new Buffer({}))
      const rows = new Uint8Array(64)
      for (const wrong of [
        [[1, 2], 0, 8, 8],
        [new Float32Array(16), 0, 8, 8],
        [rows, 4090, 8, 8],
        [rows, 0, 7, 8],
        [rows, 0, 8, 4],
        [rows, 0, 0, 0],
        [rows, 0, 8, 2 ** 40],
        [rows, -8, 8, 8],
        [new Uint8Array(0), 0, 8, 8],
      ]) {
        assert.throws(() => buffer.write(...(wrong as Parameters<typeof buffer.write>)))
      }
      await buffer.write(rows, 0, 8, 16)

      const options = {
        ...{ hiddenSize: 8, vocabSize: 256, dtype: 0, noiseScheme: 0, kernel: 0 },
        shards: [{ buffer, rows: 256, vocabStart: 0 }],
      }
      for (const wrong of [
        null,
        {},
        { ...options, hiddenSize: 0 },
        { ...options, hiddenSize: 9 },
        { ...options, vocabSize: 255 },
        { ...options, dtype: 2 },
        { ...options, noiseScheme: 2 },
        { ...options, kernel: 3 },
        { ...options, shards: [] },
        { ...options, shards: [{ buffer: {}, rows: 256, vocabStart: 0 }] },
        { ...options, shards: [{ buffer, rows: 257, vocabStart: 0 }] },
        { ...options, shards: [{ buffer, rows: 256, vocabStart: 1 }] },
      ]) {
        assert.throws(() => context.createSession(wrong as typeof options))
      }
      // Fill the weights, or logits would be NaN.
      await buffer.write(new Uint8Array(4096), 0, 4096, 4096)
      const session = context.createSession(options)
      const call: NativeSampleCall = {
        ...{ batchSize: 2, maxNumSamples: 1, logprobsMode: 0 },
        hiddenStates: new Float32Array(16),
        temperature: new Float32Array(2).fill(1),
        ...{ seed: new BigUint64Array(2), position: new BigUint64Array(2) },
        ...{ drawIndex: new Uint32Array(2), numSamples: new Uint32Array(2).fill(1) },
        ...{ numMasks: 0, allowedTokens: null },
        ...{ numBiases: 0, biasOffsets: null, biasTokenIds: null, biasValues: null },
      }
      const biases = {
        ...{ numBiases: 2, biasOffsets: Uint32Array.of(0, 1, 1) },
        ...{ biasTokenIds: Uint32Array.of(3), biasValues: Float32Array.of(9) },
      }
      for (const wrong of [
        undefined,
        { ...call, batchSize: 0 },
        { ...call, batchSize: 3 },
        { ...call, batchSize: 2 ** 32 },
        { ...call, maxNumSamples: 0 },
        { ...call, logprobsMode: 2 },
        { ...call, hiddenStates: new Float32Array(15) },
        { ...call, hiddenStates: new Float64Array(16) },
        { ...call, seed: new Uint32Array(2) },
        { ...call, position: new BigUint64Array(1) },
        { ...call, temperature: null },
        { ...call, numMasks: 1 },
        { ...call, numMasks: 3 },
        { ...call, numMasks: 2, allowedTokens: new Int32Array(8) },
        { ...call, ...biases, biasTokenIds: Uint32Array.of(256) },
        { ...call, ...biases, biasOffsets: Uint32Array.of(0, 2, 1) },
        { ...call, ...biases, biasOffsets: Uint32Array.of(1, 1, 1) },
        { ...call, ...biases, biasOffsets: Uint32Array.of(0, 1, 2) },
        { ...call, ...biases, biasValues: new Float32Array(0) },
      ]) {
        assert.throws(
          () => session.sample(wrong as NativeSampleCall),
          JSON.stringify(Object.keys(wrong ?? {})),
        )
      }
      const drawing = session.sample({ ...call, ...biases })
      assert.throws(() => session.sample(call), /still drawing/)
      // The call in flight keeps what it needs.
      session.dispose()
      buffer.dispose()
      context.dispose()
      const { tokenIds, rowStatus, logSumExp } = await drawing
      assert.deepEqual([...rowStatus], [0, 0])
      assert.ok(tokenIds.every((tokenId) => tokenId >= 0 && tokenId < 256))
      assert.ok(Math.abs((logSumExp[1] as number) - Math.log(256)) < 1e-5)
      assert.throws(() => session.sample(call), { status: 'DISPOSED' })
      assert.throws(() => buffer.write(rows, 0, 8, 8), { status: 'DISPOSED' })
      assert.throws(() => context.allocate(1), { status: 'DISPOSED' })
    },
  },
  {
    name: 'addon: a row with a temperature that no caller may pass is an error of its row',
    async run(context) {
      const native = new (loadAddon().addon.Context)(0)
      context.keep(native)
      const buffer = context.keep(native.allocate(64 * 16))
      await buffer.write(new Uint8Array(64 * 16), 0, 64 * 16, 64 * 16)
      const session = native.createSession({
        ...{ hiddenSize: 8, vocabSize: 64, dtype: 0, noiseScheme: 0, kernel: 0 },
        shards: [{ buffer, rows: 64, vocabStart: 0 }],
      })
      context.keep(session)
      const { rowStatus, tokenIds } = await session.sample({
        ...{ batchSize: 4, maxNumSamples: 1, logprobsMode: 0 },
        hiddenStates: new Float32Array(32),
        temperature: Float32Array.of(-1, 1, Number.NaN, Infinity),
        ...{ seed: new BigUint64Array(4), position: new BigUint64Array(4) },
        ...{ drawIndex: new Uint32Array(4), numSamples: new Uint32Array(4).fill(1) },
        ...{ numMasks: 0, allowedTokens: null },
        ...{ numBiases: 0, biasOffsets: null, biasTokenIds: null, biasValues: null },
      })
      assert.deepEqual([...rowStatus], [3, 0, 3, 3])
      assert.deepEqual([tokenIds[0], tokenIds[2], tokenIds[3]], [-1, -1, -1])
    },
  },
]

/** Every check. */
export const CHECKS: readonly Check[] = [
  ...sessionChecks,
  ...bufferChecks,
  ...lifeCycleChecks,
  ...errorChecks,
]
