import { defineConfig, type Options } from 'tsup'

const COMMON: Options = {
  format: 'esm',
  loader: { '.wgsl': 'text' },
  splitting: false,
  outExtension: () => ({ js: '.mjs' }),
}

/** The WebGPU benchmark as single files for a bare Node and for a page: see src/webgpu. */
export const WEBGPU_FILES: readonly Options[] = [
  {
    ...COMMON,
    entry: { 'webgpu-bench': 'src/webgpu/main.ts' },
    target: 'node20',
    noExternal: [/^@flashsampling\//, 'commander'],
    // Bundled CommonJS asks for Node's modules.
    banner: {
      js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    },
  },
  {
    ...COMMON,
    entry: { 'webgpu-page': 'src/webgpu/page-program.ts' },
    target: 'es2022',
    platform: 'browser',
    noExternal: [/^@flashsampling\//],
  },
]

/** For tests, which run on the sources of the packages. */
export default defineConfig(
  WEBGPU_FILES.map((options) => ({
    ...options,
    silent: true,
    esbuildOptions(esbuild) {
      esbuild.conditions = ['@flashsampling/source']
    },
  })),
)
