import { writeFile } from 'node:fs/promises'
import { readWeightRows } from '@flashsampling/core'
import { describe, expect, it } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { TINY, type TinyOptions, tinyModel } from '../../test/tiny-model.ts'
import { openGgufFile } from './file-source.ts'
import type { GgufFile } from './gguf-file.ts'
import { LlamaBody, readHeadTensor } from './llama-body.ts'
import { readLlamaConfig } from './llama-config.ts'

const temporary = useTemporaryDirectory()
const TOKENS = [5, 77, 130, 5, 200, 31, 99, 12, 250]

async function openTiny(options: TinyOptions): Promise<GgufFile> {
  const path = temporary.file('tiny.gguf')
  await writeFile(path, tinyModel(options))
  return openGgufFile(path)
}

async function loadTiny(options: TinyOptions = {}): Promise<LlamaBody> {
  const file = await openTiny(options)
  try {
    return await LlamaBody.load(file, readLlamaConfig(file))
  } finally {
    await file.close()
  }
}

describe('LlamaBody', () => {
  for (const bodyDtype of ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1'] as const) {
    it(`agrees with a float64 forward pass over ${bodyDtype} weights`, async () => {
      const options = { bodyDtype, ropeFactors: bodyDtype === 'f32' }
      const body = await loadTiny(options)
      const cache = body.createCache(TOKENS.length)
      const hiddenStates = body.forward(TOKENS.map((tokenId) => ({ tokenId, cache })))
      const reference = await referenceForward(options, TOKENS)
      expect(maxDistance(hiddenStates, reference.flat())).toBeLessThan(1e-5)
      // A state that ignored the weights would not vary.
      expect(maxDistance(reference[0] as number[], reference[8] as number[])).toBeGreaterThan(0.1)
    })
  }

  it('gives the same bits token by token, in pieces and in a batch with another sequence', async () => {
    const body = await loadTiny()
    const whole = body.createCache(TOKENS.length)
    const expected = body.forward(TOKENS.map((tokenId) => ({ tokenId, cache: whole })))

    const single = body.createCache(TOKENS.length)
    const singly = TOKENS.map((tokenId) => body.forward([{ tokenId, cache: single }]))
    expect(concat(singly)).toEqual(expected)

    const pieces = body.createCache(TOKENS.length)
    const inPieces = [TOKENS.slice(0, 4), TOKENS.slice(4)].map((piece) =>
      body.forward(piece.map((tokenId) => ({ tokenId, cache: pieces }))),
    )
    expect(concat(inPieces)).toEqual(expected)

    const mine = body.createCache(TOKENS.length)
    const other = body.createCache(TOKENS.length)
    const batched = TOKENS.map((tokenId) =>
      body
        .forward([
          { tokenId: 200, cache: other },
          { tokenId, cache: mine },
        ])
        .slice(TINY.hiddenSize),
    )
    expect(concat(batched)).toEqual(expected)
  })

  it('names a tensor that is missing', async () => {
    const load = loadTiny({
      editTensors: (tensors) => tensors.filter(({ name }) => name !== 'blk.1.ffn_up.weight'),
    })
    await expect(load).rejects.toThrow(/no tensor blk\.1\.ffn_up\.weight/)
  })

  it('names a tensor whose shape contradicts the header', async () => {
    const load = loadTiny({ metadata: { 'llama.feed_forward_length': 96 } })
    await expect(load).rejects.toThrow(/ffn_gate\.weight is \[64, 32\].*promises \[96, 32\]/)
  })
})

describe('readHeadTensor()', () => {
  it('gives the head of its own where the model has one', async () => {
    const file = await openTiny({ ownHead: true, headDtype: 'f16' })
    const head = await readHeadTensor(file, file.require('output.weight', 265, TINY.hiddenSize))
    await file.close()
    expect(head).toMatchObject({ dtype: 'f16', vocabSize: 265, hiddenSize: TINY.hiddenSize })
    expect(head.data).toBeInstanceOf(Uint16Array)
  })
})

function concat(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]))
}

function maxDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.max(...Array.from(a, (value, i) => Math.abs(value - (b[i] as number))))
}

/**
 * The same model written another way: float64 throughout, whole sequences instead of a cache, rotations as complex
 * products. Returns one hidden state per token.
 */
async function referenceForward(options: TinyOptions, tokens: number[]): Promise<number[][]> {
  const file = await openTiny(options)
  const matrixOf = async (name: string): Promise<number[][]> => {
    const tensor = file.tensors.get(`${name}.weight`)
    if (tensor === undefined) throw new Error(`no ${name}`)
    const shard = await readHeadTensor(file, tensor)
    return Array.from({ length: tensor.rows }, (_, row) => [...readWeightRows(shard, row, 1)])
  }
  const times = (matrix: number[][], vector: number[]): number[] =>
    matrix.map((row) => row.reduce((sum, value, i) => sum + value * (vector[i] as number), 0))
  const plus = (a: number[], b: number[]): number[] => a.map((value, i) => value + (b[i] as number))
  const norm = (vector: number[], [weight]: number[][]): number[] => {
    const meanSquare = vector.reduce((sum, value) => sum + value * value, 0) / vector.length
    return vector.map(
      (value, i) => (value / Math.sqrt(meanSquare + TINY.rmsEpsilon)) * (weight?.[i] as number),
    )
  }
  const rotated = (vector: number[], position: number): number[] =>
    vector.map((value, i) => {
      const pair = (i % TINY.headSize) >> 1
      const factor = options.ropeFactors ? 1 + pair : 1
      const angle = position / (factor * TINY.ropeBase ** ((2 * pair) / TINY.headSize))
      const partner = vector[i ^ 1] as number
      return value * Math.cos(angle) + (i % 2 === 0 ? -partner : partner) * Math.sin(angle)
    })
  const headOf = (vector: number[], head: number): number[] =>
    vector.slice(head * TINY.headSize, (head + 1) * TINY.headSize)

  const embedding = await matrixOf('token_embd')
  let states = tokens.map((tokenId) => embedding[tokenId] as number[])
  for (let block = 0; block < TINY.numBlocks; block++) {
    const named = (name: string): Promise<number[][]> => matrixOf(`blk.${block}.${name}`)
    const [attnNorm, q, k, v, o] = await Promise.all(
      ['attn_norm', 'attn_q', 'attn_k', 'attn_v', 'attn_output'].map(named),
    )
    const [ffnNorm, gate, up, down] = await Promise.all(
      ['ffn_norm', 'ffn_gate', 'ffn_up', 'ffn_down'].map(named),
    )
    const normed = states.map((state) => norm(state, attnNorm as number[][]))
    const queries = normed.map((state, t) => rotated(times(q as number[][], state), t))
    const keys = normed.map((state, t) => rotated(times(k as number[][], state), t))
    const values = normed.map((state) => times(v as number[][], state))
    states = states.map((state, t) => {
      const mixed = Array.from({ length: TINY.numHeads }, (_, head) => {
        const kvHead = Math.floor((head * TINY.numKvHeads) / TINY.numHeads)
        const query = headOf(queries[t] as number[], head)
        const weights = keys.slice(0, t + 1).map((key) => {
          const dot = headOf(key, kvHead).reduce((sum, x, i) => sum + x * (query[i] as number), 0)
          return Math.exp(dot / Math.sqrt(TINY.headSize))
        })
        const total = weights.reduce((sum, weight) => sum + weight, 0)
        return query.map((_, i) =>
          weights.reduce(
            (sum, weight, past) =>
              sum + (weight / total) * (headOf(values[past] as number[], kvHead)[i] as number),
            0,
          ),
        )
      })
      return plus(state, times(o as number[][], mixed.flat()))
    })
    states = states.map((state) => {
      const inner = norm(state, ffnNorm as number[][])
      const gates = times(gate as number[][], inner)
      const ups = times(up as number[][], inner)
      const product = gates.map((x, i) => (x / (1 + Math.exp(-x))) * (ups[i] as number))
      return plus(state, times(down as number[][], product))
    })
  }
  const outputNorm = await matrixOf('output_norm')
  await file.close()
  return states.map((state) => norm(state, outputNorm))
}
