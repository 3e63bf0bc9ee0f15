import { defineConfig } from 'tsup'

export default defineConfig({
  // One public entry. The others make files of their own: bundlers leave whole files out, but not every statement of one.
  entry: {
    index: 'src/index.ts',
    sampler: 'src/sampler.ts',
    oracle: 'src/oracle.ts',
    'conformance/index': 'src/conformance/index.ts',
    'cpu/cpu-backend': 'src/cpu/cpu-backend.ts',
    'rows/row-errors': 'src/rows/row-errors.ts',
    'rows/row-process': 'src/rows/row-process.ts',
  },
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  sourcemap: true,
  clean: true,
  dts: false,
})
