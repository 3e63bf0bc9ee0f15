/** Finds SwiftShader, the software Vulkan that Chromium brings along. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Chromium for the tests; empty where there is none. */
export const CHROMIUM: string =
  [process.env.FLASHSAMPLING_CHROMIUM, '/usr/bin/chromium', '/usr/bin/google-chrome'].find(
    (path) => path !== undefined && existsSync(path),
  ) ?? ''

const FOLDERS = [
  ...(CHROMIUM === '' ? [] : [dirname(CHROMIUM)]),
  '/usr/lib/chromium',
  '/opt/google/chrome',
]

/** Folder with SwiftShader and a Vulkan loader; empty where there is none. */
export const SWIFTSHADER_FOLDER: string =
  FOLDERS.find((folder) =>
    ['vk_swiftshader_icd.json', 'libvk_swiftshader.so', 'libvulkan.so.1'].every((name) =>
      existsSync(join(folder, name)),
    ),
  ) ?? ''

/** Environment in which Dawn finds SwiftShader and no other driver. */
export function swiftShaderEnvironment(): NodeJS.ProcessEnv {
  return {
    ...process.env,
    VK_DRIVER_FILES: join(SWIFTSHADER_FOLDER, 'vk_swiftshader_icd.json'),
    LD_LIBRARY_PATH: SWIFTSHADER_FOLDER,
  }
}
