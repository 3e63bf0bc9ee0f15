import { mergeConfig } from 'vitest/config'
import { packageConfig } from '../../vitest.shared.ts'

// One file after the other: they bundle the same programs into build/device, and a GPU in software takes every core.
export default mergeConfig(packageConfig('webgpu'), { test: { fileParallelism: false } })
