/** Calls of the addon that the backend never makes. */
import assert from 'node:assert/strict'
import { loadAddon } from '../../../src/addon.ts'
import type { NativeSampleCall } from '../../../src/addon-types.ts'
import type { Check } from './context.ts'

/** Checks of the addon itself. */
export const addonChecks: Check[] = [
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
