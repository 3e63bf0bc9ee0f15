import { writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { TINY, type TinyOptions, tinyModel } from '../../test/tiny-model.ts'
import { openGgufFile } from './file-source.ts'
import { type LlamaConfig, readLlamaConfig } from './llama-config.ts'

const temporary = useTemporaryDirectory()

async function configOf(options: TinyOptions): Promise<LlamaConfig> {
  const path = temporary.file('tiny.gguf')
  await writeFile(path, tinyModel(options))
  const file = await openGgufFile(path)
  try {
    return readLlamaConfig(file)
  } finally {
    await file.close()
  }
}

describe('readLlamaConfig()', () => {
  it('reads sizes, and fills in what files may leave out', async () => {
    const config = await configOf({
      metadata: { 'llama.rope.dimension_count': null, 'llama.rope.freq_base': null },
    })
    expect(config).toEqual({
      numBlocks: TINY.numBlocks,
      hiddenSize: TINY.hiddenSize,
      feedForwardSize: TINY.feedForwardSize,
      numHeads: TINY.numHeads,
      numKvHeads: TINY.numKvHeads,
      headSize: TINY.headSize,
      ropeSize: TINY.headSize,
      ropeBase: 10_000,
      rmsEpsilon: Math.fround(TINY.rmsEpsilon),
      contextLength: TINY.contextLength,
      vocabSize: 265,
    })
  })

  const refusals: [string, TinyOptions, RegExp][] = [
    [
      'another architecture',
      { metadata: { 'general.architecture': 'qwen2' } },
      /llama architecture.*"qwen2"/,
    ],
    [
      'a missing size',
      { metadata: { 'llama.block_count': null } },
      /"llama\.block_count".*missing/,
    ],
    [
      'a size of zero',
      { metadata: { 'llama.attention.head_count': 0 } },
      /head_count.*current value is 0/,
    ],
    [
      'heads that do not divide',
      { metadata: { 'llama.attention.head_count_kv': 3 } },
      /do not divide evenly/,
    ],
    [
      'scaled rotations',
      { metadata: { 'llama.rope.scaling.type': 'yarn' } },
      /rotations are scaled \(yarn\)/,
    ],
    ['a mixture of experts', { metadata: { 'llama.expert_count': 8 } }, /mixture of experts/],
    [
      'too many rotated elements',
      { metadata: { 'llama.rope.dimension_count': 16 } },
      /16 rotated elements/,
    ],
    [
      'values of another width',
      { metadata: { 'llama.attention.value_length': 4 } },
      /differ in width/,
    ],
    [
      'a tensor that it would leave out',
      {
        editTensors: (tensors) => [
          ...tensors,
          { name: 'blk.0.attn_q.bias', shape: [1], type: 0, data: new Uint8Array(4) },
        ],
      },
      /does not know: blk\.0\.attn_q\.bias/,
    ],
  ]
  for (const [what, options, message] of refusals) {
    it(`refuses ${what}`, async () => {
      await expect(configOf(options)).rejects.toThrow(message)
    })
  }
})
