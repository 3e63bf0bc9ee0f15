import { defineConfig } from 'tsup'

// One file that runs with a bare Node on a machine without packages: see test/device/run-node-tests.sh.
export default defineConfig({
  entry: { conformance: 'test/device/conformance.ts' },
  outDir: 'build/device',
  format: 'esm',
  target: 'node20',
  platform: 'node',
  splitting: false,
  noExternal: [/^@flashsampling\//],
  outExtension: () => ({ js: '.mjs' }),
  esbuildOptions(options) {
    options.conditions = ['@flashsampling/source']
  },
})
