import { packageConfig } from '../../vitest.shared.ts'

// Every value of the noise takes minutes, so those files join on request only.
const test = process.env.FLASHSAMPLING_SLOW_TESTS === '1' ? '*.test.ts' : '!(*.slow).test.ts'

export default packageConfig('cuda', [`src/**/${test}`, `test/**/${test}`])
