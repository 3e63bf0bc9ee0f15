import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'
import { ISOLATION_HEADERS } from './src/server/page-routes.ts'

/** The browser page; `flashsampling-bench page` serves what is built here. */
export default defineConfig({
  root: fileURLToPath(new URL('page', import.meta.url)),
  // Relative addresses, so that the page also works below a path of some other server.
  base: './',
  build: {
    outDir: '../dist/page',
    emptyOutDir: true,
    target: 'es2022',
    sourcemap: true,
    // The page is local or cached: what counts is that it is one build, not that each chunk is small.
    chunkSizeWarningLimit: 2000,
  },
  worker: { format: 'es' },
  server: { headers: { ...ISOLATION_HEADERS } },
})
