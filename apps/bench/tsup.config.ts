import { defineConfig } from 'tsup'
import { WEBGPU_FILES } from './tsup.webgpu.config.ts'

export default defineConfig([
  {
    entry: ['src/cli.ts'],
    format: 'esm',
    target: 'node20',
    sourcemap: true,
    // All but what the builds below and that of the page leave.
    clean: ['!*.mjs', '!page/**'],
    dts: false,
  },
  ...WEBGPU_FILES,
])
