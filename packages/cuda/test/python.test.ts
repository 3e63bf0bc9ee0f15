/** The Python sides of the package on a machine without a GPU: the ctypes binding, the oracle of the device checks. */
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parsePythonFiles, pythonObstacle, runPythonTests } from '../../../vitest.python.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const FOLDERS = ['python/flashsampling_cuda', 'python/tests', 'test/device']

describe('the Python sources', () => {
  it('have the structs and enums of flashsampling.h', ({ skip }) => {
    skip(pythonObstacle !== undefined, pythonObstacle)
    expect(runPythonTests(root, 'python/tests')).toBeGreaterThanOrEqual(9)
  })

  it('hold the oracle of the device checks against the fixtures', ({ skip }) => {
    skip(pythonObstacle !== undefined, pythonObstacle)
    expect(runPythonTests(root, 'test/device')).toBeGreaterThanOrEqual(10)
  })

  it('parse, also those that need a GPU', ({ skip }) => {
    skip(pythonObstacle !== undefined, pythonObstacle)
    expect(parsePythonFiles(root, FOLDERS)).toBeGreaterThan(15)
  })
})
