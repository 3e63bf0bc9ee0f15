import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['@flashsampling/source'] },
  ssr: { resolve: { conditions: ['@flashsampling/source'] } },
  test: { name: 'core', include: ['src/**/*.test.ts', 'test/**/*.test.ts'], testTimeout: 120_000 },
})
