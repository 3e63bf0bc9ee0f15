/**
 * Finds Chromium, and SwiftShader in it: the software Vulkan that makes WebGPU run on any machine.
 *
 * @module
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { UserError } from '../ui/user-error.ts'

const NAMES = ['vk_swiftshader_icd.json', 'libvk_swiftshader.so', 'libvulkan.so.1']

/**
 * Finds the browser.
 *
 * @returns Its path.
 * @throws {UserError} when there is none.
 */
export function findChromium(): string {
  const found = [
    process.env.FLASHSAMPLING_CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/google-chrome',
  ].find((path) => path !== undefined && existsSync(path))
  if (found === undefined) {
    throw new UserError(
      'Cannot find Chromium: install it, or set FLASHSAMPLING_CHROMIUM to its path',
    )
  }
  return found
}

/**
 * Variables with which Dawn finds SwiftShader and no other driver.
 *
 * @returns Variables for a process that is to be started.
 * @throws {UserError} when SwiftShader is not there.
 */
export function swiftShaderVariables(): Record<string, string> {
  const folders = [
    ...(process.env.FLASHSAMPLING_CHROMIUM ? [dirname(process.env.FLASHSAMPLING_CHROMIUM)] : []),
    '/usr/lib/chromium',
    '/opt/google/chrome',
  ]
  const folder = folders.find((path) => NAMES.every((name) => existsSync(join(path, name))))
  if (folder === undefined) {
    throw new UserError(
      'Cannot find SwiftShader: install Chromium, or set FLASHSAMPLING_CHROMIUM to its path',
    )
  }
  return {
    VK_DRIVER_FILES: join(folder, 'vk_swiftshader_icd.json'),
    LD_LIBRARY_PATH: folder,
  }
}
