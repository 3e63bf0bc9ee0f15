/**
 * Results of the WebGPU benchmark (`flashsampling-bench webgpu`): their check and their tables.
 */

/**
 * @typedef {object} WebGpuRecord
 * @property {'sample' | 'read'} op
 * @property {string} case
 * @property {number} vocabSize
 * @property {number} hiddenSize
 * @property {number} batchSize
 * @property {string} dtype
 * @property {string} contender
 * @property {number} medianUs
 * @property {number} p10Us
 * @property {number} p90Us
 * @property {number} samples
 * @property {number} bytes
 * @property {number} readbackBytes
 * @property {number} dispatches
 * @property {number} [gpuMedianUs]
 */
/**
 * @typedef {object} WebGpuReport
 * @property {1} schema
 * @property {'webgpu'} backend
 * @property {'node' | 'chromium'} host
 * @property {string} device
 * @property {string} driver
 * @property {string} processor
 * @property {string} commit
 * @property {string} takenAt
 * @property {boolean} quick
 * @property {Record<string, string>} versions
 * @property {Record<string, string>} leftOut
 * @property {WebGpuRecord[]} records
 */

const OWN = 'flashsampling'
const READ = 'read-ceiling'

/** Columns of contenders; of several names the fastest counts. */
const PEERS = new Map([
  ['draw from logits', ['flashsampling-logits']],
  ['GPU sort', ['gpu-sort']],
  ['onnxruntime-web + JS', ['onnxruntime-web', 'onnxruntime-web-softmax']],
  ['onnxruntime-web + draw from logits', ['onnxruntime-web-flashsampling']],
  ['product alone', ['logits-product']],
])
/** Contenders that the fused draw is promised to beat. */
const BEATEN = [
  'flashsampling-logits',
  'gpu-sort',
  'onnxruntime-web',
  'onnxruntime-web-softmax',
  'onnxruntime-web-flashsampling',
]
const HOSTS = { node: 'Dawn in Node', chromium: 'headless Chromium' }
const POSITIVE = /** @type {const} */ ([
  ...['vocabSize', 'hiddenSize', 'batchSize', 'medianUs', 'p10Us', 'p90Us', 'samples', 'bytes'],
])

/**
 * Says whether a results file is one of the WebGPU benchmark.
 *
 * @param {unknown} report - Parsed JSON.
 * @returns {report is WebGpuReport} Whether it is; its fields are not checked.
 */
export function isWebGpuReport(report) {
  return (
    typeof report === 'object' &&
    report !== null &&
    'backend' in report &&
    report.backend === 'webgpu'
  )
}

/**
 * Checks a results file.
 *
 * @param {WebGpuReport} report - Parsed JSON.
 * @param {string} file - Its name, for the message.
 * @returns {void}
 * @throws {Error} when a field is missing or cannot be, naming the field and its value.
 */
export function checkWebGpuReport(report, file) {
  /** @type {(field: string, rule: string, value: unknown) => never} */
  const fail = (field, rule, value) => {
    throw new Error(
      `Cannot use ${file} as "${field}" must be ${rule}: current value is ${JSON.stringify(value)}`,
    )
  }
  if (report.schema !== 1) fail('schema', '1', report.schema)
  for (const field of /** @type {const} */ (['device', 'driver', 'commit', 'processor'])) {
    if (typeof report[field] !== 'string' || report[field] === '') {
      fail(field, 'a text', report[field])
    }
  }
  if (!(report.host in HOSTS)) fail('host', 'node or chromium', report.host)
  if (Number.isNaN(Date.parse(report.takenAt))) fail('takenAt', 'a date', report.takenAt)
  if (!Array.isArray(report.records) || report.records.length === 0) {
    fail('records', 'a list that is not empty', report.records)
  }
  const seen = new Set()
  for (const [i, record] of report.records.entries()) {
    for (const field of POSITIVE) {
      const value = record[/** @type {keyof WebGpuRecord} */ (field)]
      if (typeof value !== 'number' || !(value > 0)) fail(`records[${i}].${field}`, '> 0', value)
    }
    const { p10Us, medianUs, p90Us, readbackBytes } = record
    if (p10Us > medianUs || medianUs > p90Us) {
      fail(`records[${i}].medianUs`, 'between p10Us and p90Us', medianUs)
    }
    if (!(readbackBytes >= 0)) fail(`records[${i}].readbackBytes`, '>= 0', readbackBytes)
    const key = `${cellOf(record)}/${record.contender}`
    if (seen.has(key)) fail(`records[${i}]`, 'the only one of its kind', key)
    seen.add(key)
  }
}

/**
 * Renders a run: time of a step by head and batch size, and what is read back.
 *
 * @param {WebGpuReport} report - The run.
 * @param {string} file - Its file, relative to the root of the repository.
 * @returns {string} Markdown, with a newline at the end.
 */
export function renderWebGpu(report, file) {
  const { webgpu, chromium, ...others } = report.versions
  const where =
    chromium === undefined ? `npm webgpu ${webgpu ?? ''}`.trim() : `Chromium ${chromium}`
  const engine = others['onnxruntime-web']
  const peers = [...PEERS].filter(([, names]) =>
    report.records.some(({ contender }) => names.includes(contender)),
  )
  const headings = [
    ...['head', 'dtype', 'B', 'flashsampling', '% of read ceiling'],
    ...peers.map(([title]) => title),
    ...['bytes read back', 'by onnxruntime-web'],
  ]
  const rows = cellsOf(report).map((cell) => renderRow(cell, peers))
  const rule = headings.map((_, i) => (i < 2 ? '---|' : '---:|')).join('')
  const lines = [headings, ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  return (
    `${report.device} (${report.driver}; processor: ${report.processor}), ${HOSTS[report.host]}, ${where}` +
    `${engine === undefined ? '' : `, onnxruntime-web ${engine}`}, commit ${report.commit}, ` +
    `${report.takenAt.slice(0, 10)}; median time of a step in ms (\`${file}\`):\n\n` +
    `${[lines[0], `|${rule}`, ...lines.slice(1)].join('\n')}\n\n${renderPasses(report, peers)}${renderPromise(report)}`
  )
}

/**
 * Renders what compute passes take, without waiting for the host.
 *
 * @param {WebGpuReport} report - The run.
 * @param {[string, string[]][]} peers
 * @returns {string} Markdown; empty where the adapter has no clock.
 */
function renderPasses(report, peers) {
  if (report.records.every(({ gpuMedianUs }) => gpuMedianUs === undefined)) return ''
  /** @type {[string, string[]][]} */
  const columns = [['flashsampling', [OWN]], ...peers, ['plain read', [READ]]]
  const rows = cellsOf(report).map((cell) => {
    const { case: name, dtype, batchSize } = /** @type {WebGpuRecord} */ (cell[0])
    const times = columns.map(([, names]) => {
      const us = cell
        .filter(({ contender }) => names.includes(contender))
        .flatMap(({ gpuMedianUs }) => gpuMedianUs ?? [])
      return us.length === 0 ? '–' : Math.min(...us).toFixed(0)
    })
    return [name, dtype, String(batchSize), ...times]
  })
  const headings = ['head', 'dtype', 'B', ...columns.map(([title]) => title)]
  const rule = headings.map((_, i) => (i < 2 ? '---|' : '---:|')).join('')
  const lines = [headings, ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  return `Of these, the GPU's compute passes in µs:\n\n${[lines[0], `|${rule}`, ...lines.slice(1)].join('\n')}\n\n`
}

/**
 * Says in which cells the fused draw is faster than each contender.
 *
 * @param {WebGpuReport} report - The run.
 * @returns {string} One line of Markdown for each outcome.
 */
function renderPromise(report) {
  const lines = cellsOf(report).map((cell) => {
    const own = fastest(cell, [OWN])
    const rivals = cell.filter(({ contender }) => BEATEN.includes(contender))
    const name = `${cell[0]?.case} ${cell[0]?.dtype}, B = ${cell[0]?.batchSize}`
    if (own === undefined || rivals.length === 0) return `- ${name}: not measured.`
    const lost = rivals
      .filter(({ medianUs }) => medianUs < own.medianUs)
      .map(
        (rival) => `\`${rival.contender}\` (${(rival.medianUs / own.medianUs).toFixed(2)} times)`,
      )
    if (lost.length > 0) return `- ${name}: missed; faster are ${lost.join(', ')}.`
    const closest = Math.min(...rivals.map(({ medianUs }) => medianUs)) / own.medianUs
    return `- ${name}: holds; the fastest other one takes ${closest.toFixed(2)} times as long.`
  })
  return `Fused draw faster than each contender:\n\n${lines.join('\n')}\n`
}

/**
 * @param {WebGpuRecord[]} cell
 * @param {[string, string[]][]} peers
 */
function renderRow(cell, peers) {
  const first = /** @type {WebGpuRecord} */ (cell[0])
  const own = fastest(cell, [OWN])
  const read = fastest(cell, [READ])
  const engine = fastest(cell, ['onnxruntime-web', 'onnxruntime-web-softmax'])
  const share =
    own === undefined || read === undefined ? '–' : ((timeOf(read) / timeOf(own)) * 100).toFixed(0)
  return [
    first.case,
    first.dtype,
    String(first.batchSize),
    ms(own),
    share,
    ...peers.map(([, names]) => ms(fastest(cell, names))),
    own === undefined ? '–' : String(own.readbackBytes),
    engine === undefined ? '–' : engine.readbackBytes.toLocaleString('en'),
  ]
}

/** @param {WebGpuReport} report */
function cellsOf(report) {
  /** @type {Map<string, WebGpuRecord[]>} */
  const cells = new Map()
  for (const record of report.records) {
    const key = cellOf(record)
    cells.set(key, [...(cells.get(key) ?? []), record])
  }
  return [...cells.values()]
}

/** @param {WebGpuRecord} record */
function cellOf({ case: name, dtype, batchSize }) {
  return `${name}/${dtype}/${batchSize}`
}

/**
 * @param {WebGpuRecord[]} cell
 * @param {string[]} names
 */
function fastest(cell, names) {
  return cell
    .filter(({ contender }) => names.includes(contender))
    .sort((a, b) => a.medianUs - b.medianUs)[0]
}

/**
 * Time that rates are taken from: that of the compute passes where the adapter has a clock.
 *
 * @param {WebGpuRecord} record
 */
function timeOf({ gpuMedianUs, medianUs }) {
  return gpuMedianUs ?? medianUs
}

/** @param {WebGpuRecord | undefined} record */
function ms(record) {
  if (record === undefined) return '–'
  const value = record.medianUs / 1000
  return value.toFixed(value < 100 ? 2 : 0)
}
