import { describe, expect, it } from 'vitest'
import { tinyModel } from '../../test/tiny-model.ts'
import { openModel } from './load-model.ts'
import { blobSource } from './model-source.ts'

describe('blobSource()', () => {
  it('gives the model that the same bytes give as a file', async () => {
    const bytes = tinyModel()
    const source = blobSource(new Blob([Uint8Array.from(bytes)]), 'tiny.gguf')
    expect(source.byteLength).toBe(bytes.byteLength)
    expect(await source.read(8, 24)).toEqual(bytes.slice(8, 24))
    const model = await openModel(source)
    const { lmHead } = await model.loadWeights()
    expect(lmHead).toMatchObject({ dtype: 'q8_0', vocabSize: 265, hiddenSize: 32 })
    await model.close()
  })

  it('leaves out what lies behind the end, so that truncation is named', async () => {
    const bytes = Uint8Array.from(tinyModel())
    const source = blobSource(new Blob([bytes.subarray(0, 20_000)]), 'cut.gguf')
    expect(await source.read(19_990, 30_000)).toHaveLength(10)
    await expect(openModel(source)).rejects.toThrow(/cut\.gguf as it is truncated/)
  })

  it('names the file when the browser refuses to read it', async () => {
    const broken = {
      size: 1000,
      slice: () => ({ arrayBuffer: () => Promise.reject(new Error('the file was changed')) }),
    }
    const source = blobSource(broken as unknown as Blob, 'gone.gguf')
    await expect(source.read(0, 8)).rejects.toThrow(
      /Cannot read gone\.gguf .*the file was changed.*choose the file again/,
    )
  })
})
