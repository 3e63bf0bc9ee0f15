import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runProgram } from '../lib/processes.mjs'
import { repositoryRoot } from '../lib/workspace.mjs'

/** Second Node version that every package is run on, beside the one that runs this program. */
const OTHER_NODE = '24.21.0'

/** Compilers of consumers: the one that declares our types, and the last of the former line. */
const COMPILERS = ['node_modules/typescript/bin/tsc', 'scripts/node_modules/typescript/bin/tsc']

/**
 * Installs a published package in an empty project, type-checks a program that uses it and runs the program.
 *
 * @param {object} options
 * @param {string} options.name - Package.
 * @param {string} options.version
 * @param {string} options.folder - New folder of the project.
 * @param {string} options.registry - Address that our packages are installed from; all others come from npm's own.
 * @param {(label: string, work: () => Promise<unknown>) => Promise<unknown>} options.step - Reports progress.
 */
export async function useAsConsumer({ name, version, folder, registry, step }) {
  const program = join(repositoryRoot, 'scripts/rehearsal', `${name.split('/')[1]}.ts`)
  if (!existsSync(program)) {
    throw new Error(
      `Cannot rehearse ${name} as ${program} must exist: write a program that uses it`,
    )
  }
  mkdirSync(folder, { recursive: true })
  copyFileSync(program, join(folder, 'program.ts'))
  writeFileSync(join(folder, '.npmrc'), `@flashsampling:registry=${registry}\n`)
  writeJson(join(folder, 'package.json'), { name: 'consumer', private: true, type: 'module' })

  await step(`${name}: install`, () => {
    const args = ['install', '--no-audit', '--no-fund', `${name}@${version}`]
    return runProgram('npm', args, { cwd: folder })
  })
  for (const compiler of COMPILERS) {
    const tsc = join(repositoryRoot, compiler)
    const label = (await runProgram(process.execPath, [tsc, '--version'])).trim()
    for (const module of ['nodenext', 'bundler']) {
      for (const skipLibCheck of [true, false]) {
        writeTsconfig(folder, module, skipLibCheck)
        await step(
          `${name}: types, TypeScript ${label}, ${module}, skipLibCheck ${skipLibCheck}`,
          () => runProgram(process.execPath, [tsc, '-p', 'tsconfig.json'], { cwd: folder }),
        )
      }
    }
  }
  await step(`${name}: run on Node ${process.versions.node}`, () =>
    runProgram(process.execPath, ['out/program.js'], { cwd: folder }),
  )
  await step(`${name}: run on Node ${OTHER_NODE}`, () => {
    const platform = process.platform === 'win32' ? 'win' : process.platform
    const node = `node-${platform}-${process.arch}@${OTHER_NODE}`
    const args = ['--yes', `--package=${node}`, '--', 'node', 'out/program.js']
    return runProgram('npx', args, { cwd: folder })
  })
}

/**
 * @param {string} folder
 * @param {string} module - `nodenext` or `bundler` resolution.
 * @param {boolean} skipLibCheck
 */
function writeTsconfig(folder, module, skipLibCheck) {
  const resolution =
    module === 'bundler'
      ? { module: 'esnext', moduleResolution: 'bundler' }
      : { module: 'nodenext', moduleResolution: 'nodenext' }
  writeJson(join(folder, 'tsconfig.json'), {
    compilerOptions: {
      ...resolution,
      target: 'es2022',
      strict: true,
      types: [],
      skipLibCheck,
      outDir: 'out',
      rootDir: '.',
    },
    files: ['program.ts'],
  })
}

/**
 * @param {string} file
 * @param {object} value
 */
function writeJson(file, value) {
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
}
