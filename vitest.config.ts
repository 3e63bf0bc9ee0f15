import { defineConfig } from 'vitest/config'

// For `pnpm dev` and editors: every package as one project. `npm test` runs each package by itself.
export default defineConfig({ test: { projects: ['packages/*', 'apps/*', 'scripts'] } })
