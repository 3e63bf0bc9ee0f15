import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkCudaReport, isCudaReport, renderMain, renderMore } from './cuda-bench.mjs'
import { repositoryRoot } from './workspace.mjs'

/**
 * @param {string} contender
 * @param {number} medianUs
 * @param {object} [fields]
 */
function record(contender, medianUs, fields = {}) {
  const shape = { case: 'small', vocabSize: 1000, hiddenSize: 500, batchSize: 8, dtype: 'bf16' }
  const merged = { ...shape, op: contender === 'read-ceiling' ? 'read' : 'sample', ...fields }
  const rows = merged.vocabSize + (merged.op === 'read' ? 0 : merged.batchSize)
  const times = { medianUs, p10Us: medianUs - 1, p90Us: medianUs + 2, samples: 40 }
  const bytes = rows * merged.hiddenSize * 2
  return { worldSize: 1, variant: 'plain', contender, threads: 1, ...times, bytes, ...merged }
}

/** @param {object[]} records */
function report(records) {
  return /** @type {import('./cuda-bench.mjs').CudaReport} */ ({
    schema: 1,
    backend: 'cuda',
    device: 'Test GPU',
    driver: '580.1',
    versions: { torch: '2.11' },
    commit: 'abc1234',
    takenAt: '2026-11-24T10:00:00.000Z',
    quick: false,
    readCeilingGBs: 3210.4,
    records,
  })
}

describe('renderMain()', () => {
  it('shows times, the ratio to the product and the share of the read ceiling of the same rounds', () => {
    const text = renderMain(
      report([
        record('cublas-gemm', 200),
        record('flashsampling', 190),
        record('flashinfer-gumbel', 250.25),
        record('read-ceiling', 180),
        record('flashsampling', 50, { batchSize: 1 }),
        record('flashsampling', 900, { batchSize: 512 }),
        record('flashsampling', 900, { dtype: 'f16' }),
      ]),
      'apps/bench/results/test-gpu/a.json',
    )
    // 1008 rows in 190 us against 1000 rows in 180 us.
    expect(text).toContain('| 8 | 200.0 | 190.0 | 0.950 | 95 | 250.3 |')
    expect(text).toContain('| 1 | – | 50.0 | – |')
    expect(text).toContain('**small**: V = 1,000, D = 500, bf16')
    expect(text).toContain('Test GPU, driver 580.1, torch 2.11, commit abc1234, 2026-11-24')
    expect(text).toContain('Plain reads reach 3,210 GB/s')
    expect(text).not.toContain('900.0')
    expect(text).not.toContain('torch.compile')
  })
})

describe('renderMore()', () => {
  it('shows other shapes, types and batches, and what variants cost', () => {
    const text = renderMore(
      report([
        record('cublas-gemm', 200),
        record('flashsampling', 100),
        record('flashsampling', 102, { variant: 'logprobs' }),
        record('cublas-gemm', 200, { case: 'gpt-oss' }),
        record('flashsampling', 150, { case: 'gpt-oss' }),
        record('flashsampling', 900, { batchSize: 1024 }),
      ]),
    )
    expect(text).toContain('| small | 8 | 100.0 | – | 1.020 | – |')
    expect(text).toContain('| gpt-oss (V = 1,000, D = 500) | bf16 | 8 | 200.0 | 150.0 | 0.750 |')
    expect(text).toContain('| small (V = 1,000, D = 500) | bf16 | 1024 | – | 900.0 |')
  })
})

describe('checkCudaReport()', () => {
  it('takes a complete report', () => {
    checkCudaReport(report([record('flashsampling', 10), record('read-ceiling', 9)]), 'a.json')
  })

  it.each([
    [{ schema: 2 }, '"schema" must be 1: current value is 2'],
    [{ device: '' }, '"device" must be a text'],
    [{ takenAt: 'today' }, '"takenAt" must be a date'],
    [{ readCeilingGBs: 0 }, '"readCeilingGBs" must be > 0'],
    [{ records: [] }, '"records" must be a list that is not empty'],
    [{ records: [record('flashsampling', 0)] }, '"records[0].medianUs" must be > 0'],
    [
      { records: [record('flashsampling', 10, { p90Us: 9 })] },
      '"records[0].medianUs" must be between p10Us and p90Us',
    ],
    [
      { records: [record('flashsampling', 10, { bytes: 5 })] },
      '"records[0].bytes" must be 1008000: current value is 5',
    ],
    [
      { records: [record('flashsampling', 10), record('flashsampling', 11)] },
      '"records[1]" must be the only one of its kind',
    ],
  ])('refuses %j', (fields, message) => {
    const wrong = { ...report([record('flashsampling', 10)]), ...fields }
    expect(() => checkCudaReport(/** @type {never} */ (wrong), 'a.json')).toThrow(message)
  })

  it('takes what the benchmark writes', ({ skip }) => {
    const program = `
import json, report
record = report.make_record(op="sample", case="small", vocab_size=151936, hidden_size=4096, batch_size=4, dtype="bf16",
    variant="plain", contender="flashsampling", samples_us=[300.0, 301.5, 310.0], is_graph=True, method="")
head = {"schema": report.SCHEMA, "backend": "cuda", "device": "GPU", "driver": "1", "commit": "abc",
    "takenAt": "2026-11-24T10:00:00.000Z", "readCeilingGBs": 3000.0, "quick": False, "versions": {}}
print(report.format_report({**head, "readRates": [], "records": [record]}))
`
    const { error, status, stdout, stderr } = spawnSync('python3', ['-c', program], {
      cwd: join(repositoryRoot, 'apps/bench/cuda'),
      encoding: 'utf8',
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    })
    skip(error !== undefined, 'python3 is not installed')
    expect(stderr).toBe('')
    expect(status).toBe(0)
    const written = JSON.parse(stdout)
    expect(isCudaReport(written)).toBe(true)
    checkCudaReport(written, 'a.json')
  })

  it('takes every committed result', () => {
    const folder = join(repositoryRoot, 'apps/bench/results')
    const files = existsSync(folder)
      ? readdirSync(folder, { recursive: true, encoding: 'utf8' })
      : []
    let count = 0
    for (const file of files.filter((name) => name.endsWith('.json'))) {
      const parsed = JSON.parse(readFileSync(join(folder, file), 'utf8'))
      expect(parsed.schema, file).toBe(1)
      if (isCudaReport(parsed)) checkCudaReport(parsed, file)
      count++
    }
    expect(count).toBeGreaterThan(0)
  })
})
