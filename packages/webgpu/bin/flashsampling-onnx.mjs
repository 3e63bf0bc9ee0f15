#!/usr/bin/env node
/**
 * Command line over `@flashsampling/webgpu/onnx`: tells what a model offers, and cuts its LM head off.
 */
import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FlashSamplingError } from '@flashsampling/core'
import { cutOnnxLmHead, inspectOnnxModel } from '@flashsampling/webgpu/onnx'

const HELP = `Usage: flashsampling-onnx <command> <model.onnx> [options]

Commands:
  inspect   tells inputs, outputs and LM head of a model
  cut       writes the model without its LM head, and the head alone

Options:
  --logits <name>   output with the logits (default: "logits", or the only name that ends so)
  --hidden <name>   cut: name of the output with the hidden states (default: "hidden_states")
  --out <folder>    cut: where to write (default: the model's folder)
  --keep-data       cut: both parts go on reading the original's .onnx_data files, which are not copied
  --force           cut: overwrite files
  --help            this text

cut writes <model>_body.onnx and <model>_head.onnx. Weights in files beside the model go into
<model>_body.onnx_data and <model>_head.onnx_data.
`

/** What is copied at a time: heads are larger than what one array may hold. */
const CHUNK_BYTES = 2 ** 24

/** A mistake on the command line, or a file that cannot be used. */
class UsageError extends Error {}

try {
  await main()
} catch (error) {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const isUsage = error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS')
  // What a program can handle, and files: one line. Anything else is a defect and keeps its stack.
  const isKnown =
    FlashSamplingError.isInstance(error) || error instanceof RangeError || /^E[A-Z]+$/.test(code)
  if (!isUsage && !isKnown) throw error
  process.stderr.write(`error: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = isUsage ? 2 : 1
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      logits: { type: 'string' },
      hidden: { type: 'string' },
      out: { type: 'string' },
      'keep-data': { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const [command, model, ...rest] = positionals
  if (values.help) {
    process.stdout.write(HELP)
    return
  }
  if ((command !== 'inspect' && command !== 'cut') || model === undefined || rest.length > 0) {
    throw new UsageError('Pass "inspect" or "cut" and one model file; --help shows the options')
  }
  const bytes = await readFile(model)
  if (command === 'inspect') inspect(bytes, values.logits)
  else {
    await cut(model, bytes, {
      logitsOutput: values.logits,
      hiddenStatesOutput: values.hidden,
      folder: values.out ?? dirname(model),
      keepsData: values['keep-data'],
      overwrites: values.force,
    })
  }
}

/**
 * @param {Uint8Array} bytes
 * @param {string | undefined} logitsOutput
 */
function inspect(bytes, logitsOutput) {
  const { inputs, outputs, hiddenStatesOutput, head, headProblem } = inspectOnnxModel(bytes, {
    logitsOutput,
  })
  const lines = [
    `inputs   ${inputs.join(', ')}`,
    `outputs  ${outputs.join(', ')}`,
    ...(hiddenStatesOutput === null ? [] : [`hidden   ${hiddenStatesOutput}, an output already`]),
    head === null
      ? `head     none: ${headProblem}`
      : `head     ${head.op} ${head.dtype} [${head.vocabSize}, ${head.hiddenSize}]` +
        `${head.hasBias ? ' with a bias' : ''}${head.logitScale === 1 ? '' : ` times ${head.logitScale}`}, ` +
        `from ${head.hiddenStatesTensor} (${head.hiddenStatesType}) to ${head.logitsOutput}`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

/**
 * @param {string} model
 * @param {Uint8Array} bytes
 * @param {{ logitsOutput: string | undefined, hiddenStatesOutput: string | undefined, folder: string,
 *   keepsData: boolean, overwrites: boolean }} options
 */
async function cut(model, bytes, options) {
  const { folder, keepsData, overwrites, ...names } = options
  const stem = basename(model).replace(/\.onnx$/, '')
  const externalData = { body: `${stem}_body.onnx_data`, head: `${stem}_head.onnx_data` }
  const parts = cutOnnxLmHead(bytes, keepsData ? names : { ...names, externalData })
  if (keepsData && resolve(folder) !== resolve(dirname(model))) {
    throw new UsageError(
      'With --keep-data, both parts belong into the folder of the model: leave --out away',
    )
  }
  await mkdir(folder, { recursive: true })
  const files = [
    { name: `${stem}_body.onnx`, bytes: parts.body },
    { name: `${stem}_head.onnx`, bytes: parts.head },
  ]
  const dataFiles = [...new Set(parts.copies.map((copy) => copy.to))]
  if (!overwrites) await checkAbsent(folder, [...files.map(({ name }) => name), ...dataFiles])
  for (const file of files) await writeFile(join(folder, file.name), file.bytes)
  for (const file of dataFiles) await writeFile(join(folder, file), '')
  for (const copy of parts.copies) await copyBytes(dirname(model), folder, copy)
  for (const name of [...files.map((file) => file.name), ...dataFiles]) {
    const { size } = await stat(join(folder, name))
    process.stdout.write(`${join(folder, name)}  ${size} bytes\n`)
  }
  process.stdout.write(
    `hidden states: ${parts.hiddenStatesOutput}, ${parts.hiddenStatesType} [..., ${parts.hiddenSize}]; ` +
      `head: ${parts.vocabSize} tokens\n`,
  )
}

/**
 * @param {string} folder
 * @param {readonly string[]} names
 */
async function checkAbsent(folder, names) {
  for (const name of names) {
    const path = join(folder, name)
    const exists = await stat(path).then(
      () => true,
      () => false,
    )
    if (exists) throw new UsageError(`${path} exists: remove it, or pass --force`)
  }
}

/**
 * Copies a stretch of a file, a piece at a time.
 *
 * @param {string} sourceFolder
 * @param {string} targetFolder
 * @param {import('@flashsampling/webgpu/onnx').ExternalDataCopy} copy
 */
async function copyBytes(sourceFolder, targetFolder, { from, fromOffset, length, to, toOffset }) {
  const source = await open(join(sourceFolder, from), 'r')
  try {
    const target = await open(join(targetFolder, to), 'r+')
    try {
      const chunk = new Uint8Array(Math.min(CHUNK_BYTES, length))
      for (let done = 0; done < length; ) {
        const wanted = Math.min(chunk.length, length - done)
        const { bytesRead } = await source.read(chunk, 0, wanted, fromOffset + done)
        if (bytesRead === 0) {
          throw new RangeError(
            `Cannot copy ${length} bytes from ${fromOffset} of ${join(sourceFolder, from)} as it ends after ${fromOffset + done}`,
          )
        }
        await target.write(chunk, 0, bytesRead, toOffset + done)
        done += bytesRead
      }
    } finally {
      await target.close()
    }
  } finally {
    await source.close()
  }
}
