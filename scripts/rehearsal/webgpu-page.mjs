import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gzipSync } from 'node:zlib'
import { chromium } from 'playwright-core'
import { runProgram } from '../lib/processes.mjs'
import { readJson, repositoryRoot } from '../lib/workspace.mjs'

/** Most that a page may download before its first plain draw, beside Vite's own loader: bytes of gzip. */
const PLAIN_LIMIT = 20_000

const CHROMIUM = [
  process.env.FLASHSAMPLING_CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
].find((path) => path !== undefined && existsSync(path))
const SOFTWARE_GPU = [
  ...['--no-sandbox', '--no-first-run', '--disable-background-networking'],
  ...['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'],
]

const HEAD =
  '{ dtype: "f32", vocabSize: 5, hiddenSize: 2, data: Float32Array.of(1, 0, 0, 1, 1, 1, 2, -1, -1, 2) }'
const LOGITS = [1, 2, 3, 0, 3]
const DEVICE = 'const device = await (await navigator.gpu.requestAdapter()).requestDevice()'

/** Pages by name; each leaves `draw(params)` behind, but for the one that measures Vite's own loader. */
const PAGES = {
  loader: 'globalThis.load = () => import("./later.js")',
  createLmHeadSampler: `
    import { createLmHeadSampler } from '@flashsampling/webgpu'
    globalThis.draw = async (params) => {
      ${DEVICE}
      const sampler = await createLmHeadSampler({ device, lmHead: ${HEAD} })
      const { tokenIds } = await sampler.sample({ hiddenStates: Float32Array.of(1, 2), params })
      return tokenIds[0]
    }`,
  createLogitsSampler: `
    import { createLogitsSampler } from '@flashsampling/webgpu'
    globalThis.draw = async (params) => {
      ${DEVICE}
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST
      const buffer = device.createBuffer({ size: 32, usage })
      device.queue.writeBuffer(buffer, 0, Float32Array.of(${LOGITS}))
      const sampler = await createLogitsSampler({ device, vocabSize: 5 })
      const logits = { buffer, dtype: 'f32', offsets: [0] }
      const { tokenIds } = await sampler.sample({ logits, params })
      return tokenIds[0]
    }`,
  'createWebGpuBackend with createSampler': `
    import { createSampler } from '@flashsampling/core'
    import { createWebGpuBackend } from '@flashsampling/webgpu'
    globalThis.draw = async (params) => {
      ${DEVICE}
      const sampler = await createSampler({ lmHead: ${HEAD}, backend: createWebGpuBackend(device) })
      const { tokenIds } = await sampler.sample({ hiddenStates: Float32Array.of(1, 2), params })
      return tokenIds[0]
    }`,
}

/**
 * Builds empty Vite projects that have this package and nothing else, draws in them, and reports what a page downloads.
 *
 * @param {object} options
 * @param {string} options.version - Of the package.
 * @param {string} options.folder - New folder of the projects.
 * @param {string} options.registry - Address that our packages are installed from.
 * @param {(label: string, work: () => Promise<unknown>) => Promise<unknown>} options.step - Reports progress.
 */
export async function useInPage({ version, folder, registry, step }) {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, '.npmrc'), `@flashsampling:registry=${registry}\n`)
  const manifest = { name: 'page', private: true, type: 'module' }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest))
  const vite = readJson(join(repositoryRoot, 'apps/bench/node_modules/vite/package.json')).version
  await step(`@flashsampling/webgpu in Vite ${vite}: install`, async () => {
    const args = ['install', '--no-audit', '--no-fund']
    await runProgram('npm', [...args, `@flashsampling/webgpu@${version}`], { cwd: folder })
    await runProgram('npm', [...args, '--save-dev', `vite@${vite}`], { cwd: folder })
  })
  let loaderBytes = 0
  for (const [name, program] of Object.entries(PAGES)) {
    const root = join(folder, name.replaceAll(' ', '-'))
    mkdirSync(root)
    writeFileSync(join(root, 'later.js'), 'export const later = true\n')
    writeFileSync(join(root, 'main.js'), program)
    writeFileSync(
      join(root, 'index.html'),
      '<!doctype html><title>page</title><link rel="icon" href="data:,"><script type="module" src="./main.js"></script>\n',
    )
    await step(`@flashsampling/webgpu in Vite: build a page with ${name}`, () =>
      runProgram('npx', ['vite', 'build', root, '--manifest', '--logLevel', 'warn'], {
        cwd: folder,
      }),
    )
    const { plain, all } = measure(join(root, 'dist'))
    if (name === 'loader') {
      loaderBytes = plain.bytes
      console.log(`  Vite's own loader: ${kilobytes(loaderBytes)} of gzip`)
      continue
    }
    const bytes = plain.bytes - loaderBytes
    console.log(
      `  ${name}: ${kilobytes(bytes)} of gzip before the first plain draw ` +
        `(${kilobytes(plain.bytes)} with Vite's loader), ${kilobytes(all.bytes - loaderBytes)} with every part`,
    )
    if (bytes >= PLAIN_LIMIT) {
      throw new Error(
        `A plain draw with ${name} downloads ${bytes} bytes: the limit is ${PLAIN_LIMIT}`,
      )
    }
    if (CHROMIUM === undefined) {
      console.log('  not run: no Chromium found; install it or set FLASHSAMPLING_CHROMIUM')
      continue
    }
    await step(`@flashsampling/webgpu in Vite: draw in a page with ${name}`, () =>
      drawInPage(root, folder, plain.files),
    )
  }
}

/** @param {number} bytes */
function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1)} kB`
}

/**
 * Sizes of a build: what its page loads at once, and all of it.
 *
 * @param {string} dist
 */
function measure(dist) {
  /** @type {Record<string, { file: string, isEntry?: boolean, imports?: string[] }>} */
  const manifest = readJson(join(dist, '.vite/manifest.json'))
  /** @type {Set<string>} */
  const atOnce = new Set()
  const visit = (/** @type {string} */ key) => {
    if (atOnce.has(key)) return
    atOnce.add(key)
    for (const next of manifest[key]?.imports ?? []) visit(next)
  }
  for (const [key, { isEntry }] of Object.entries(manifest)) if (isEntry) visit(key)
  const sizeOf = (/** @type {string[]} */ keys) => {
    const files = keys.map((key) => /** @type {{ file: string }} */ (manifest[key]).file)
    const bytes = files.reduce(
      (sum, file) => sum + gzipSync(readFileSync(join(dist, file)), { level: 9 }).length,
      0,
    )
    return { files, bytes }
  }
  return { plain: sizeOf([...atOnce]), all: sizeOf(Object.keys(manifest)) }
}

/**
 * Draws with and without filters in a built page; compares with the oracle, and what is loaded with what was measured.
 *
 * @param {string} root - Of the project.
 * @param {string} folder - That has the packages.
 * @param {string[]} plainFiles - What the page may load for plain draws.
 */
async function drawInPage(root, folder, plainFiles) {
  const moduleOf = (/** @type {string} */ path) =>
    import(pathToFileURL(join(folder, 'node_modules', path)).href)
  const { preview } = await moduleOf('vite/dist/node/index.js')
  const { sampleFromLogits } = await moduleOf('@flashsampling/core/dist/index.js')
  const server = await preview({
    root,
    configFile: false,
    logLevel: 'warn',
    preview: { host: '127.0.0.1', port: 0 },
  })
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: SOFTWARE_GPU })
  try {
    const tab = await browser.newPage()
    /** @type {string[]} */
    const loaded = []
    tab.on('response', (response) => {
      const path = new URL(response.url()).pathname.slice(1)
      if (path.endsWith('.js')) loaded.push(path)
    })
    await tab.goto(server.resolvedUrls.local[0])
    const draw = async (/** @type {string} */ filters) => {
      const tokenId = await tab.evaluate(`draw({ seed: 42n, temperature: 0.75, ${filters} })`)
      const params = { seed: 42n, temperature: 0.75, ...(filters === '' ? {} : { topP: 0.875 }) }
      const expected = sampleFromLogits(LOGITS, params).tokenId
      if (tokenId !== expected) throw new Error(`drew ${tokenId}, the oracle draws ${expected}`)
    }
    await draw('')
    const early = loaded.filter((file) => !plainFiles.includes(file))
    if (early.length > 0 || loaded.length < plainFiles.length) {
      throw new Error(`A plain draw loads ${loaded.join(', ')}, measured: ${plainFiles.join(', ')}`)
    }
    await draw('topP: 0.875')
    if (loaded.length === plainFiles.length) throw new Error('a filter loads nothing')
  } finally {
    await browser.close()
    await server.close()
  }
}
