import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { makeTemporaryTree } from './lib/temporary-tree.mjs'
import {
  renderCudaResults,
  renderResults,
  renderWebGpuResults,
  replaceTables,
  updateTexts,
} from './update-readme-bench.mjs'

afterEach(() => {
  vi.restoreAllMocks()
})

/**
 * @param {string} contender
 * @param {number} medianUs
 * @param {number} threads
 */
function record(contender, medianUs, threads) {
  return {
    op: contender === 'read-ceiling' ? 'read' : 'sample',
    case: 'qwen3',
    vocabSize: 151_936,
    hiddenSize: 1024,
    dtype: 'q8_0',
    batchSize: 1,
    variant: 'plain',
    contender,
    threads,
    medianUs,
    bytes: contender === 'read-ceiling' ? 500_000_000 : 160_000_000,
  }
}

/** @param {object} fields */
function report(fields) {
  return {
    schema: 1,
    device: 'Test CPU',
    commit: 'abc1234',
    takenAt: '2026-11-01T10:00:00.000Z',
    quick: false,
    processors: 2,
    versions: { node: '20.20.2' },
    records: [
      record('flashsampling', 10_000, 1),
      record('flashsampling-two-step', 12_340, 1),
      record('onnxruntime-node', 15_000, 1),
      record('onnxruntime-node-gumbel', 14_560, 1),
      record('flashsampling-typescript', 98_700, 1),
      record('read-ceiling', 25_000, 1),
      record('flashsampling', 6_000, 2),
    ],
    ...fields,
  }
}

describe('renderResults()', () => {
  it('holds the figures of the result, with the fastest sampling around the engine', () => {
    const root = makeTemporaryTree({
      'apps/bench/results/test-cpu/2026-11-01-abc.json': report({}),
    })
    const text = renderResults(root)
    // 160 MB in 10 ms are 16 GB/s, 500 MB in 25 ms are 20 GB/s.
    expect(text).toContain('| Qwen3-0.6B | q8_0 | 1 | 1 | 10.00 | 80 | 12.34 | 14.56 | 98.70 |')
    expect(text).toContain('| Qwen3-0.6B | q8_0 | 1 | 2 | 6.00 | – | – | – | – |')
    expect(text).toContain('Test CPU, 2 processors, Node 20.20.2, commit abc1234, 2026-11-01')
    expect(text).toContain('`apps/bench/results/test-cpu/2026-11-01-abc.json`')
  })

  it('takes the newest run of a device that is not quick', () => {
    const root = makeTemporaryTree({
      'apps/bench/results/test-cpu/a.json': report({
        takenAt: '2026-11-03T00:00:00Z',
        commit: 'new',
      }),
      'apps/bench/results/test-cpu/b.json': report({
        takenAt: '2026-11-02T00:00:00Z',
        commit: 'old',
      }),
      'apps/bench/results/test-cpu/c.json': report({
        takenAt: '2026-11-04T00:00:00Z',
        commit: 'quick',
        quick: true,
      }),
    })
    const text = renderResults(root)
    expect(text).toContain('commit new')
    expect(text).not.toContain('commit old')
    expect(text).not.toContain('commit quick')
  })

  it('says so where nothing is committed', () => {
    expect(renderResults(makeTemporaryTree({ 'README.md': '' }))).toBe(
      'No results are committed yet.\n',
    )
  })
})

describe('renderCudaResults()', () => {
  const cuda = {
    ...report({ device: 'Test GPU', takenAt: '2026-11-05T00:00:00Z' }),
    backend: 'cuda',
    driver: '580.1',
    readCeilingGBs: 3000,
    records: [
      {
        ...record('flashsampling', 250, 1),
        ...{ case: 'small', dtype: 'bf16', worldSize: 1, p10Us: 249, p90Us: 251, samples: 40 },
        bytes: (151_936 + 1) * 1024 * 2,
      },
    ],
  }
  /** @param {{ device: string }} run */
  const name = (run) => run.device

  it('takes the runs of CUDA devices, and the other tables take those of processors', () => {
    const root = makeTemporaryTree({
      'apps/bench/results/test-cpu/a.json': report({}),
      'apps/bench/results/test-gpu/a.json': cuda,
    })
    expect(renderCudaResults(root, name)).toBe('Test GPU')
    expect(renderResults(root)).toContain('Test CPU')
    expect(renderResults(root)).not.toContain('Test GPU')
  })

  it('says so where no CUDA run is committed', () => {
    const root = makeTemporaryTree({ 'apps/bench/results/test-cpu/a.json': report({}) })
    expect(renderCudaResults(root, name)).toBe('No results are committed yet.\n')
  })

  it('refuses a run that lacks a field', () => {
    const root = makeTemporaryTree({
      'apps/bench/results/test-gpu/a.json': { ...cuda, driver: undefined },
    })
    expect(() => renderCudaResults(root, name)).toThrow('"driver" must be a text')
  })
})

describe('renderWebGpuResults()', () => {
  /**
   * @param {string} contender
   * @param {number} medianUs
   * @param {object} [fields]
   */
  const webGpuRecord = (contender, medianUs, fields) => ({
    ...record(contender, medianUs, 1),
    ...{ p10Us: medianUs - 1, p90Us: medianUs + 1, samples: 20, bytes: 160_000_000 },
    ...{ readbackBytes: contender.startsWith('onnx') ? 607_744 : 4, dispatches: 2, ...fields },
  })
  /** @param {object} fields */
  const webGpu = (fields) => ({
    ...report({ device: 'Test GPU', takenAt: '2026-11-06T00:00:00Z' }),
    ...{ backend: 'webgpu', host: 'node', driver: 'driver 1', processor: 'Test CPU', leftOut: {} },
    versions: { node: '20.20.2', webgpu: '0.6.2', 'onnxruntime-web': '1.30.0' },
    records: [
      webGpuRecord('flashsampling', 500, { gpuMedianUs: 400 }),
      webGpuRecord('flashsampling-logits', 600),
      webGpuRecord('gpu-sort', 1234),
      webGpuRecord('onnxruntime-web', 9000),
      webGpuRecord('onnxruntime-web-softmax', 8000),
      webGpuRecord('logits-product', 300),
      webGpuRecord('read-ceiling', 390, { gpuMedianUs: 300, op: 'read', readbackBytes: 0 }),
    ],
    ...fields,
  })

  it('holds the figures of the result, rates by the clock of the GPU', () => {
    const root = makeTemporaryTree({ 'apps/bench/results/test-gpu/a.json': webGpu({}) })
    const text = renderWebGpuResults(root)
    expect(text).toContain(
      'Test GPU (driver 1; processor: Test CPU), Dawn in Node, npm webgpu 0.6.2',
    )
    expect(text).toContain(
      '| qwen3 | q8_0 | 1 | 0.50 | 75 | 0.60 | 1.23 | 8.00 | 0.30 | 4 | 607,744 |',
    )
    expect(text).toContain('| qwen3 | q8_0 | 1 | 400 | – | – | – | – | 300 |')
    expect(text).toContain('holds; the fastest other one takes 1.20 times as long')
  })

  it('names the contenders that are faster', () => {
    const slow = {
      ...webGpu({}),
      records: [webGpuRecord('flashsampling', 1000), webGpuRecord('gpu-sort', 600)],
    }
    const root = makeTemporaryTree({ 'apps/bench/results/test-gpu/a.json': slow })
    expect(renderWebGpuResults(root)).toContain('missed; faster are `gpu-sort` (0.60 times)')
  })

  it('stands beside other runs of the same device, Node and browser apart', () => {
    const root = makeTemporaryTree({
      'apps/bench/results/test-gpu/a.json': report({ device: 'Test GPU', backend: 'cuda' }),
      'apps/bench/results/test-gpu/b.json': webGpu({ commit: 'old' }),
      'apps/bench/results/test-gpu/c.json': webGpu({
        commit: 'new',
        takenAt: '2026-11-07T00:00:00Z',
      }),
      'apps/bench/results/test-gpu/d.json': webGpu({
        ...{ host: 'chromium', commit: 'page', versions: { chromium: '156' } },
      }),
    })
    const text = renderWebGpuResults(root)
    expect(text).toContain('commit new')
    expect(text).not.toContain('commit old')
    expect(text).toContain('headless Chromium, Chromium 156, commit page')
    expect(renderResults(root)).toBe('No results are committed yet.\n')
  })

  it('refuses a run that lacks a field', () => {
    const root = makeTemporaryTree({
      'apps/bench/results/test-gpu/a.json': webGpu({ host: undefined }),
    })
    expect(() => renderWebGpuResults(root)).toThrow('"host" must be node or chromium')
  })
})

describe('replaceTables()', () => {
  it('changes nothing but what lies between the markers', () => {
    const text = 'before\n<!-- bench:start -->\nold\n<!-- bench:end -->\nafter\n'
    expect(replaceTables(text, 'new\n', 'README.md')).toBe(
      'before\n<!-- bench:start -->\nnew\n<!-- bench:end -->\nafter\n',
    )
    expect(replaceTables('no markers', 'new\n', 'README.md')).toBe('no markers')
  })

  it('tells sections apart', () => {
    const text =
      '<!-- bench:start -->a<!-- bench:end --><!-- bench-cuda:start -->b<!-- bench-cuda:end -->'
    expect(replaceTables(text, 'new\n', 'README.md', 'bench-cuda')).toBe(
      '<!-- bench:start -->a<!-- bench:end --><!-- bench-cuda:start -->\nnew\n<!-- bench-cuda:end -->',
    )
  })

  it('refuses a text with one marker', () => {
    expect(() => replaceTables('<!-- bench:start -->', 'new', 'README.md')).toThrow(
      'Cannot update README.md',
    )
  })
})

describe('updateTexts()', () => {
  it('reports a stale text under --check and writes it without', () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined)
    vi.spyOn(console, 'log').mockImplementation(() => undefined)
    const root = makeTemporaryTree({
      'README.md': '<!-- bench:start -->\nstale\n<!-- bench:end -->\n',
      'apps/bench/results/test-cpu/a.json': report({}),
    })
    expect(updateTexts(root, true)).toBe(1)
    expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain('stale')
    expect(updateTexts(root, false)).toBe(0)
    expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain('| 12.34 |')
    expect(updateTexts(root, true)).toBe(0)
  })
})
