/**
 * Rehearses a release: applies the pending changesets to a copy of the repository, publishes every package to a
 * registry on the loopback interface, and installs, type-checks and runs each in an empty project. Leaves nothing behind.
 *
 * Options: `--keep` keeps the temporary folder.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkTarball } from './lib/packed-package.mjs'
import { runProgram } from './lib/processes.mjs'
import { listPublishedPackages, readJson, repositoryRoot } from './lib/workspace.mjs'
import { useAsConsumer } from './rehearsal/consumer.mjs'
import { startRegistry } from './rehearsal/registry.mjs'
import { useInPage } from './rehearsal/webgpu-page.mjs'

const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
const folder = mkdtempSync(join(tmpdir(), 'flashsampling-release-'))
const registry = await startRegistry(join(folder, 'registry'))
process.on('SIGINT', () => {
  rmSync(folder, { recursive: true, force: true })
  process.exit(130)
})
try {
  await rehearse()
  console.log('release rehearsal: passed')
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  console.error('release rehearsal: failed')
  process.exitCode = 1
} finally {
  await registry.close()
  if (values.keep) console.log(`kept ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}

async function rehearse() {
  const root = join(folder, 'repository')
  checkNativeBuilds()
  const env = registryEnvironment()
  await step('copy the repository', () => copyRepository(root))
  await step('install from the local store', () =>
    runProgram('pnpm', ['install', '--frozen-lockfile', '--prefer-offline'], { cwd: root }),
  )
  await step('apply the changesets', () =>
    runProgram('pnpm', ['exec', 'changeset', 'version'], { cwd: root }),
  )
  await step('publish', () =>
    runProgram('pnpm', ['exec', 'changeset', 'publish', '--no-git-tag'], { cwd: root, env }),
  )
  for (const { manifest } of listPublishedPackages(root)) {
    const name = `${manifest.name}@${manifest.version}`
    await step(`${name}: publint and attw`, () => checkPublished(name, env))
    await useAsConsumer({
      name: manifest.name,
      version: manifest.version,
      folder: join(folder, 'consumers', manifest.name),
      registry: registry.url,
      step,
    })
    if (manifest.name === '@flashsampling/webgpu') {
      const { version } = manifest
      await useInPage({ version, folder: join(folder, 'page'), registry: registry.url, step })
    }
  }
}

/** A package with native code is not published without its binaries. */
function checkNativeBuilds() {
  for (const { manifest, path } of listPublishedPackages()) {
    if (manifest.scripts?.['build:native'] === undefined) continue
    const file = join(path, 'build/native/status.json')
    const status = existsSync(file)
      ? readJson(file)
      : { reason: 'npm run build:native did not run' }
    if (status.built !== true) {
      throw new Error(
        `Cannot publish ${manifest.name} without its binaries: ${status.reason ?? status.failure}`,
      )
    }
  }
}

/**
 * Copies tracked and new files and the builds into a repository of their own.
 *
 * @param {string} target
 */
async function copyRepository(target) {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z']
  const listed = await runProgram('git', args, { cwd: repositoryRoot })
  const builds = listPublishedPackages().flatMap((entry) => [
    `${entry.folder}/dist`,
    `${entry.folder}/prebuilds`,
  ])
  for (const file of [...listed.split('\0').filter(Boolean), ...builds]) {
    if (!existsSync(join(repositoryRoot, file))) continue
    mkdirSync(dirname(join(target, file)), { recursive: true })
    cpSync(join(repositoryRoot, file), join(target, file), { recursive: true })
  }
  const identity = ['-c', 'user.name=rehearsal', '-c', 'user.email=rehearsal@localhost']
  for (const command of [
    ['init', '-q', '-b', 'main'],
    ['add', '-A'],
    ['commit', '-q', '-m', 'rehearsal'],
  ]) {
    await runProgram('git', [...identity, ...command], { cwd: target })
  }
}

/**
 * Checks the tarball that the registry hands out.
 *
 * @param {string} name - With version.
 * @param {NodeJS.ProcessEnv} env
 */
async function checkPublished(name, env) {
  const cwd = join(folder, 'tarballs', name)
  mkdirSync(cwd, { recursive: true })
  const [packed] = JSON.parse(await runProgram('npm', ['pack', name, '--json'], { cwd, env }))
  const problems = await checkTarball(join(cwd, packed.filename), join(cwd, 'unpacked'))
  if (problems.length > 0) throw new Error(problems.join('\n'))
}

/** @returns {NodeJS.ProcessEnv} Environment in which our scope is looked up and published on the local registry. */
function registryEnvironment() {
  const file = join(folder, 'npmrc')
  const host = registry.url.replace(/^http:/, '')
  const lines = [
    `registry=${registry.url}`,
    `@flashsampling:registry=${registry.url}`,
    `${host}:_authToken=rehearsal`,
    'provenance=false',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return { ...process.env, npm_config_userconfig: file, npm_config_registry: registry.url }
}

/**
 * @template T
 * @param {string} label
 * @param {() => Promise<T>} work
 */
async function step(label, work) {
  const started = performance.now()
  const result = await work()
  console.log(`✓ ${label} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
  return result
}
