/**
 * Writes the benchmark tables of the texts from the committed results: figures are never typed.
 *
 * `--check` changes nothing and exits with 1 where a text differs from the results.
 */
import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkCudaReport, isCudaReport, renderMain, renderMore } from './lib/cuda-bench.mjs'
import { checkWebGpuReport, isWebGpuReport, renderWebGpu } from './lib/webgpu-bench.mjs'
import { repositoryRoot } from './lib/workspace.mjs'

const RESULTS_FOLDER = 'apps/bench/results'
const TEXTS = ['README.md', 'docs/benchmarking.md']

/**
 * Sections of the texts: each stands between `<!-- NAME:start -->` and `<!-- NAME:end -->`.
 *
 * @type {{ name: string, render: (root: string) => string }[]}
 */
const SECTIONS = [
  { name: 'bench', render: renderResults },
  { name: 'bench-cuda', render: (root) => renderCudaResults(root, renderMain) },
  { name: 'bench-cuda-more', render: (root) => renderCudaResults(root, renderMore) },
  { name: 'bench-webgpu', render: renderWebGpuResults },
]
const NO_RESULTS = 'No results are committed yet.\n'

const DTYPES = ['q8_0', 'f32']
const BATCH_SIZES = [1, 8]
/** Cases of the table and what has their shape. */
const CASES = new Map([
  ['smollm2', 'SmolLM2-135M'],
  ['qwen3', 'Qwen3-0.6B'],
])
const ENGINE = ['onnxruntime-node', 'onnxruntime-node-gumbel', 'onnxruntime-node-softmax']

/** @typedef {import('./lib/cuda-bench.mjs').CudaReport} CudaReport */
/** @typedef {import('./lib/webgpu-bench.mjs').WebGpuReport} WebGpuReport */
/**
 * @typedef {object} BenchRecord
 * @property {string} op
 * @property {string} case
 * @property {number} vocabSize
 * @property {number} hiddenSize
 * @property {string} dtype
 * @property {number} batchSize
 * @property {string} variant
 * @property {string} contender
 * @property {number} threads
 * @property {number} medianUs
 * @property {number} bytes
 */
/**
 * @typedef {object} BenchReport
 * @property {string} device
 * @property {string} commit
 * @property {string} takenAt
 * @property {boolean} quick
 * @property {number} processors
 * @property {Record<string, string>} versions
 * @property {BenchRecord[]} records
 */

if (
  process.argv[1] !== undefined &&
  realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)
) {
  process.exitCode = updateTexts(repositoryRoot, process.argv.includes('--check'))
}

/**
 * Brings every text with markers up to date.
 *
 * @param {string} root - Root folder of the repository.
 * @param {boolean} checkOnly - Whether to report differences instead of writing.
 * @returns {number} Exit code.
 */
export function updateTexts(root, checkOnly) {
  const sections = SECTIONS.map(({ name, render }) => ({ name, tables: render(root) }))
  let differing = 0
  for (const name of TEXTS) {
    const file = join(root, name)
    if (!existsSync(file)) continue
    const text = readFileSync(file, 'utf8')
    const wanted = sections.reduce(
      (changed, section) => replaceTables(changed, section.tables, name, section.name),
      text,
    )
    if (wanted === text) continue
    differing++
    if (checkOnly) {
      console.error(`${name}: the tables differ from ${RESULTS_FOLDER}: run npm run bench:readme`)
    } else {
      writeFileSync(file, wanted)
      console.log(`updated ${name}`)
    }
  }
  return checkOnly && differing > 0 ? 1 : 0
}

/**
 * Puts the tables of a section between its markers.
 *
 * @param {string} text - A text, with or without the markers.
 * @param {string} tables - Markdown.
 * @param {string} name - Name of the text, for the message.
 * @param {string} section - Name of the section.
 * @returns {string} The text with the new tables; the same text where it has no markers.
 */
export function replaceTables(text, tables, name, section = 'bench') {
  const startMarker = `<!-- ${section}:start -->`
  const endMarker = `<!-- ${section}:end -->`
  const start = text.indexOf(startMarker)
  const end = text.indexOf(endMarker)
  if (start < 0 && end < 0) return text
  if (start < 0 || end < start) {
    throw new Error(
      `Cannot update ${name} as it must have ${startMarker} and, after it, ${endMarker}`,
    )
  }
  return `${text.slice(0, start + startMarker.length)}\n${tables}${text.slice(end)}`
}

/**
 * Renders the newest result of every processor.
 *
 * @param {string} root - Root folder of the repository.
 * @returns {string} Markdown, with a newline at the end.
 */
export function renderResults(root) {
  const parts = newestReports(root)
    .filter(({ report }) => !isCudaReport(report) && !isWebGpuReport(report))
    .map(({ report, file }) => renderReport(/** @type {BenchReport} */ (report), file))
  return parts.length === 0 ? NO_RESULTS : parts.join('\n')
}

/**
 * Renders the newest result of every CUDA device.
 *
 * @param {string} root - Root folder of the repository.
 * @param {(report: CudaReport, file: string) => string} render - Renders one run.
 * @returns {string} Markdown, with a newline at the end.
 * @throws {Error} when a file lacks a field.
 */
export function renderCudaResults(root, render) {
  const parts = newestReports(root).map(({ report, file }) => {
    if (!isCudaReport(report)) return ''
    checkCudaReport(report, file)
    return render(report, file)
  })
  return parts.filter((part) => part !== '').join('\n') || NO_RESULTS
}

/**
 * Renders the newest result of every WebGPU adapter, in Node and in the browser.
 *
 * @param {string} root - Root folder of the repository.
 * @returns {string} Markdown, with a newline at the end.
 * @throws {Error} when a file lacks a field.
 */
export function renderWebGpuResults(root) {
  const parts = newestReports(root).map(({ report, file }) => {
    if (!isWebGpuReport(report)) return ''
    checkWebGpuReport(report, file)
    return renderWebGpu(report, file)
  })
  return parts.filter((part) => part !== '').join('\n') || NO_RESULTS
}

/**
 * The newest run of every device and benchmark that is not quick, by name of the device.
 *
 * @param {string} root
 * @returns {{ report: BenchReport | CudaReport | WebGpuReport, file: string }[]}
 */
function newestReports(root) {
  const folder = join(root, RESULTS_FOLDER)
  const devices = existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : []
  return devices
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => newestOf(join(folder, entry.name)))
    .sort((a, b) => a.report.device.localeCompare(b.report.device))
    .map(({ report, file }) => ({ report, file: relative(root, file) }))
}

/**
 * @param {string} folder
 * @returns {{ report: BenchReport | CudaReport | WebGpuReport, file: string }[]}
 */
function newestOf(folder) {
  const runs = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => {
      const file = join(folder, name)
      const report = /** @type {BenchReport | CudaReport | WebGpuReport} */ (
        JSON.parse(readFileSync(file, 'utf8'))
      )
      return { file, report }
    })
    .filter(({ report }) => !report.quick)
    .sort((a, b) => a.report.takenAt.localeCompare(b.report.takenAt))
  // A card has runs of several benchmarks.
  const kindOf = (/** @type {BenchReport | CudaReport | WebGpuReport} */ report) =>
    isWebGpuReport(report) ? report.host : isCudaReport(report) ? 'cuda' : 'cpu'
  return [...new Map(runs.map((run) => [kindOf(run.report), run])).values()]
}

/**
 * Renders one run: time of a draw by shape, format, batch size and number of threads.
 *
 * @param {BenchReport} report - The run.
 * @param {string} file - Its file, relative to the root of the repository.
 * @returns {string} Markdown, with a newline at the end.
 */
export function renderReport(report, file) {
  const headings = [
    'head',
    'dtype',
    'B',
    'threads',
    'flashsampling',
    '% of read ceiling',
    'unfused two-step',
    'onnxruntime-node + JS',
    'plain TypeScript',
  ]
  const lines = [
    `${report.device}, ${report.processors} processors, Node ${report.versions.node}, commit ${report.commit}, ` +
      `${report.takenAt.slice(0, 10)}; median time of a draw in ms (\`${file}\`):`,
    '',
    `| ${headings.join(' | ')} |`,
    `|---|---|${headings
      .slice(2)
      .map(() => '---:|')
      .join('')}`,
  ]
  const threadCounts = [...new Set(report.records.map(({ threads }) => threads))]
  for (const name of CASES.keys()) {
    for (const dtype of DTYPES) {
      for (const batchSize of BATCH_SIZES) {
        for (const threads of threadCounts.sort((a, b) => a - b)) {
          const cell = report.records.filter(
            (record) =>
              record.case === name &&
              record.dtype === dtype &&
              record.batchSize === batchSize &&
              record.threads === threads &&
              record.variant === 'plain',
          )
          if (cell.some(({ op }) => op === 'sample')) lines.push(renderRow(cell))
        }
      }
    }
  }
  return `${lines.join('\n')}\n`
}

/** @param {BenchRecord[]} cell - Records of one shape, format, batch size and number of threads. */
function renderRow(cell) {
  const first = /** @type {BenchRecord} */ (cell[0])
  /** @param {string[]} names */
  const best = (names) =>
    cell
      .filter(({ contender }) => names.includes(contender))
      .sort((a, b) => a.medianUs - b.medianUs)[0]
  /** @param {BenchRecord | undefined} record */
  const ms = (record) => (record === undefined ? '–' : (record.medianUs / 1000).toFixed(2))
  const own = best(['flashsampling'])
  const read = best(['read-ceiling'])
  const share =
    own === undefined || read === undefined
      ? '–'
      : ((own.bytes / own.medianUs / (read.bytes / read.medianUs)) * 100).toFixed(0)
  const cells = [
    CASES.get(first.case),
    first.dtype,
    first.batchSize,
    first.threads,
    ms(own),
    share,
    ms(best(['flashsampling-two-step'])),
    ms(best(ENGINE)),
    ms(best(['flashsampling-typescript'])),
  ]
  return `| ${cells.join(' | ')} |`
}
