import { defineConfig } from 'tsup'

// Single files that run with a bare Node (run) and in a page (suites): see test/support.
export default defineConfig({
  entry: {
    run: 'test/device/run.ts',
    suites: 'test/device/suites.ts',
    bench: 'test/device/bench.ts',
  },
  outDir: 'build/device',
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  silent: true,
  splitting: false,
  noExternal: [/^@flashsampling\//],
  external: ['webgpu'],
  outExtension: () => ({ js: '.mjs' }),
  esbuildOptions(options) {
    options.conditions = ['@flashsampling/source']
  },
})
