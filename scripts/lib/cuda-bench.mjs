/**
 * Results of the CUDA benchmark (`apps/bench/cuda/bench.py`): their check and their tables.
 */

/**
 * @typedef {object} CudaRecord
 * @property {'sample' | 'read'} op
 * @property {string} case
 * @property {number} vocabSize
 * @property {number} hiddenSize
 * @property {number} batchSize
 * @property {number} worldSize
 * @property {string} dtype
 * @property {string} variant
 * @property {string} contender
 * @property {number} medianUs
 * @property {number} p10Us
 * @property {number} p90Us
 * @property {number} samples
 * @property {number} bytes
 */
/**
 * @typedef {object} CudaReport
 * @property {1} schema
 * @property {'cuda'} backend
 * @property {string} device
 * @property {string} driver
 * @property {string} commit
 * @property {string} takenAt
 * @property {boolean} quick
 * @property {number} readCeilingGBs
 * @property {Record<string, string>} versions
 * @property {CudaRecord[]} records
 */

const GEMM = 'cublas-gemm'
const OWN = 'flashsampling'
const READ = 'read-ceiling'

/** Shapes with tables of their own. */
const MAIN_CASES = ['small', 'large']
const MAIN_DTYPE = 'bf16'
const LARGEST_MAIN_BATCH = 256

/** Columns of the main tables, after the product and the fused draw. */
const PEERS = new Map([
  ['flashsampling-portable', 'portable kernel'],
  ['flashsampling-two-step', 'GEMM + own draw'],
  ['flashinfer-gumbel', 'GEMM + FlashInfer Gumbel'],
  ['flashinfer-topk-topp', 'GEMM + FlashInfer top-k/top-p'],
  ['torch-multinomial', 'GEMM + torch.compile'],
])
const VARIANTS = ['temperatures', 'logprobs', 'masked']

const NUMBERS = /** @type {const} */ ([
  'vocabSize',
  'hiddenSize',
  'batchSize',
  'worldSize',
  'medianUs',
  'p10Us',
  'p90Us',
  'samples',
  'bytes',
])
const TEXTS = /** @type {const} */ (['op', 'case', 'dtype', 'variant', 'contender'])
const BYTES_PER_ELEMENT = 2

/**
 * Says whether a results file is one of the CUDA benchmark.
 *
 * @param {unknown} report - Parsed JSON.
 * @returns {report is CudaReport} Whether it is; its fields are not checked.
 */
export function isCudaReport(report) {
  return (
    typeof report === 'object' &&
    report !== null &&
    'backend' in report &&
    report.backend === 'cuda'
  )
}

/**
 * Checks a results file.
 *
 * @param {CudaReport} report - Parsed JSON.
 * @param {string} file - Its name, for the message.
 * @returns {void}
 * @throws {Error} when a field is missing or cannot be, naming the field and its value.
 */
export function checkCudaReport(report, file) {
  /** @type {(field: string, rule: string, value: unknown) => never} */
  const fail = (field, rule, value) => {
    throw new Error(
      `Cannot use ${file} as "${field}" must be ${rule}: current value is ${JSON.stringify(value)}`,
    )
  }
  if (report.schema !== 1) fail('schema', '1', report.schema)
  for (const field of /** @type {const} */ (['device', 'driver', 'commit'])) {
    if (typeof report[field] !== 'string' || report[field] === '') {
      fail(field, 'a text', report[field])
    }
  }
  if (Number.isNaN(Date.parse(report.takenAt))) fail('takenAt', 'a date', report.takenAt)
  if (!isPositive(report.readCeilingGBs)) fail('readCeilingGBs', '> 0', report.readCeilingGBs)
  if (!Array.isArray(report.records) || report.records.length === 0) {
    fail('records', 'a list that is not empty', report.records)
  }
  const seen = new Set()
  for (const [i, record] of report.records.entries()) {
    for (const field of TEXTS) {
      if (typeof record[field] !== 'string') fail(`records[${i}].${field}`, 'a text', record[field])
    }
    for (const field of NUMBERS) {
      if (!isPositive(record[field])) fail(`records[${i}].${field}`, '> 0', record[field])
    }
    const { p10Us, medianUs, p90Us } = record
    if (p10Us > medianUs || medianUs > p90Us) {
      fail(`records[${i}].medianUs`, 'between p10Us and p90Us', medianUs)
    }
    const rows = record.vocabSize + (record.op === 'read' ? 0 : record.batchSize)
    const bytes = rows * record.hiddenSize * BYTES_PER_ELEMENT
    if (record.bytes !== bytes) fail(`records[${i}].bytes`, String(bytes), record.bytes)
    const key = [...cellOf(record), record.variant, record.contender].join('/')
    if (seen.has(key)) fail(`records[${i}]`, 'the only one of its kind', key)
    seen.add(key)
  }
}

/**
 * Renders the two main shapes: fused draw, bare product and every peer.
 *
 * @param {CudaReport} report - The run.
 * @param {string} file - Its file, relative to the root of the repository.
 * @returns {string} Markdown, with a newline at the end.
 */
export function renderMain(report, file) {
  const parts = [
    `${report.device}, driver ${report.driver}, torch ${report.versions.torch}, commit ${report.commit}, ` +
      `${report.takenAt.slice(0, 10)}; median time of a draw in µs (\`${file}\`).\n` +
      `Plain reads reach ${Math.round(report.readCeilingGBs).toLocaleString('en')} GB/s on this card.\n`,
  ]
  for (const name of MAIN_CASES) {
    const records = report.records.filter((record) => isMain(record) && record.case === name)
    const first = records[0]
    if (first === undefined) continue
    const peers = [...PEERS].filter(([contender]) =>
      records.some((record) => record.contender === contender),
    )
    const headings = ['B', 'GEMM alone', 'flashsampling', '× GEMM', '% of read ceiling']
    const rows = batchSizes(records).map((batchSize) => {
      const cell = records.filter((record) => record.batchSize === batchSize)
      return [...ownCells(cell, report), ...peers.map(([peer]) => us(find(cell, peer)))]
    })
    parts.push(`**${name}**: ${sizeOf(first)}, ${first.dtype}\n`)
    parts.push(table([...headings, ...peers.map(([, title]) => title)], rows))
  }
  return parts.join('\n')
}

/**
 * Renders everything else of a run: what variants of a draw cost, other shapes, types and larger batches.
 *
 * @param {CudaReport} report - The run.
 * @returns {string} Markdown, with a newline at the end.
 */
export function renderMore(report) {
  const variantRows = []
  const otherRows = []
  const cells = new Map(report.records.map((record) => [cellOf(record).join('/'), record]))
  for (const first of cells.values()) {
    const cell = report.records.filter(
      (record) => cellOf(record).join('/') === cellOf(first).join('/'),
    )
    const plain = find(cell, OWN)
    if (plain === undefined) continue
    const variants = VARIANTS.map((variant) => find(cell, OWN, variant))
    if (variants.some((record) => record !== undefined)) {
      variantRows.push([
        first.case,
        String(first.batchSize),
        us(plain),
        ...variants.map((record) => (record === undefined ? '–' : relative(record, plain))),
      ])
    }
    if (!isMain(first)) {
      otherRows.push([
        `${first.case} (${sizeOf(first)})`,
        first.dtype,
        ...ownCells(cell, report),
        us(find(cell, 'flashsampling-portable')),
      ])
    }
  }
  const parts = [`${report.device}, commit ${report.commit}:\n`]
  if (otherRows.length > 0) {
    const headings = [
      'head',
      'dtype',
      'B',
      'GEMM alone',
      'flashsampling',
      '× GEMM',
      '% of read ceiling',
    ]
    parts.push(table([...headings, 'portable kernel'], otherRows))
  }
  if (variantRows.length > 0) {
    parts.push(
      table(['head', 'B', 'plain, µs', ...VARIANTS.map((name) => `${name}, × plain`)], variantRows),
    )
  }
  return parts.join('\n')
}

/**
 * @param {CudaRecord[]} cell - Records of one shape, type and batch size.
 * @param {CudaReport} report
 */
function ownCells(cell, report) {
  const own = find(cell, OWN)
  const gemm = find(cell, GEMM)
  const read = find(cell, READ)
  const ceiling = read === undefined ? report.readCeilingGBs * 1e3 : read.bytes / read.medianUs
  const share = own === undefined ? '–' : ((own.bytes / own.medianUs / ceiling) * 100).toFixed(0)
  const ratio = own === undefined || gemm === undefined ? '–' : relative(own, gemm)
  return [String(cell[0]?.batchSize), us(gemm), us(own), ratio, share]
}

/** @param {CudaRecord} record */
function isMain(record) {
  return (
    MAIN_CASES.includes(record.case) &&
    record.dtype === MAIN_DTYPE &&
    record.batchSize <= LARGEST_MAIN_BATCH
  )
}

/**
 * @param {CudaRecord[]} cell
 * @param {string} contender
 */
function find(cell, contender, variant = 'plain') {
  return cell.find((record) => record.contender === contender && record.variant === variant)
}

/** @param {CudaRecord} record */
function cellOf({ case: name, dtype, batchSize, worldSize }) {
  return [name, dtype, batchSize, worldSize]
}

/** @param {CudaRecord[]} records */
function batchSizes(records) {
  return [...new Set(records.map(({ batchSize }) => batchSize))].sort((a, b) => a - b)
}

/** @param {CudaRecord} record */
function sizeOf({ vocabSize, hiddenSize }) {
  return `V = ${vocabSize.toLocaleString('en')}, D = ${hiddenSize.toLocaleString('en')}`
}

/** @param {CudaRecord | undefined} record */
function us(record) {
  return record === undefined ? '–' : record.medianUs.toFixed(1)
}

/**
 * @param {CudaRecord} record
 * @param {CudaRecord} other
 */
function relative(record, other) {
  return (record.medianUs / other.medianUs).toFixed(3)
}

/**
 * @param {string[]} headings
 * @param {string[][]} rows
 */
function table(headings, rows) {
  const isText = headings.map((heading) => heading === 'head' || heading === 'dtype')
  const rule = isText.map((text) => (text ? '---|' : '---:|')).join('')
  const lines = [headings, ...rows].map((cells) => `| ${cells.join(' | ')} |`)
  return `${[lines[0], `|${rule}`, ...lines.slice(1)].join('\n')}\n`
}

/** @param {unknown} value */
function isPositive(value) {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}
