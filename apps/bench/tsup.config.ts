import { defineConfig } from 'tsup'
import { WEBGPU_FILES } from './tsup.webgpu.config.ts'

export default defineConfig([
  {
    entry: ['src/cli.ts'],
    format: 'esm',
    target: 'node20',
    sourcemap: true,
    // The page's folder is not this build's to clean.
    clean: ['*.js', '*.js.map'],
    dts: false,
  },
  ...WEBGPU_FILES,
])
