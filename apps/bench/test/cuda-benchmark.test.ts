/** The CUDA benchmark's Python on a machine without a GPU: plan, file, table, promised lines. */
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parsePythonFiles, pythonObstacle, runPythonTests } from '../../../vitest.python.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

describe('the Python sources of the CUDA benchmark', () => {
  it('plan cells, write the file and judge the promised lines', ({ skip }) => {
    skip(pythonObstacle !== undefined, pythonObstacle)
    expect(runPythonTests(root, 'cuda')).toBeGreaterThanOrEqual(13)
  })

  it('parse, also those that need a GPU', ({ skip }) => {
    skip(pythonObstacle !== undefined, pythonObstacle)
    expect(parsePythonFiles(root, ['cuda'])).toBeGreaterThan(5)
  })
})
