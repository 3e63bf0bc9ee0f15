import { packageConfig } from '../vitest.shared.ts'

export default packageConfig('scripts', ['*.test.mjs', '{bootstrap,lib}/*.test.mjs'])
