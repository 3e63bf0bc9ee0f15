import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

/**
 * Limit of tests and of hooks, which start browsers: what takes longer hangs. Ten times what the slowest takes on two busy
 * cores, so that a slow machine is no failure.
 */
const HANG_MS = 300_000

const reporter = fileURLToPath(new URL('scripts/vitest-reporter.mjs', import.meta.url))

/**
 * Vitest settings shared by all packages: workspace imports resolve to sources, so that tests need no build.
 *
 * @param name - Name of the project in reports.
 * @param include - Test files, relative to the package.
 * @returns The package's configuration.
 */
export function packageConfig(
  name: string,
  include: string[] = ['src/**/*.test.ts', 'test/**/*.test.ts'],
): ViteUserConfig {
  return defineConfig({
    resolve: { conditions: ['@flashsampling/source'] },
    ssr: { resolve: { conditions: ['@flashsampling/source'] } },
    test: {
      ...{ name, include, reporters: ['default', reporter] },
      ...{ testTimeout: HANG_MS, hookTimeout: HANG_MS },
    },
  })
}
