/** What the native build reads out of the compiler's report, and what it refuses. */
import { describe, expect, it } from 'vitest'
import { findDefects, formatResources, readResources } from '../scripts/native/ptxas.mjs'

const REPORT = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4tidyPf' for 'sm_80'
ptxas info    : Function properties for _Z4tidyPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 1024 bytes smem, 360 bytes cmem[0]
ptxas info    : Compiling entry function '_Z5greedPf' for 'sm_90a'
ptxas info    : Function properties for _Z5greedPf
    48 bytes stack frame, 16 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 255 registers, used 0 barriers, 48 bytes cumulative stack size
ptxas info    : Compile time = 10.0 ms
`

const SERIALISED =
  "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to the presence of Extern calls in the function '_Z4tidyPf'"

const kernels = readResources(REPORT, 'a.cu')

describe('readResources()', () => {
  it('reads registers, shared memory, stack and spills of every kernel and architecture', () => {
    const zero = { stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 }
    expect(kernels).toEqual([
      {
        kernel: '_Z4tidyPf',
        arch: 'sm_80',
        source: 'a.cu',
        registers: 40,
        sharedBytes: 1024,
        ...zero,
      },
      {
        ...{ kernel: '_Z5greedPf', arch: 'sm_90a', source: 'a.cu', registers: 255, sharedBytes: 0 },
        ...{ stackBytes: 48, spillStoreBytes: 16, spillLoadBytes: 20 },
      },
    ])
  })

  it('reads one table line for each', () => {
    expect(formatResources(kernels).split('\n')).toHaveLength(3)
  })
})

describe('findDefects()', () => {
  it('accepts a kernel that stays in registers', () => {
    expect(findDefects(REPORT, kernels.slice(0, 1))).toEqual([])
  })

  it('refuses a kernel that spills', () => {
    expect(findDefects(REPORT, kernels)).toEqual([
      'a.cu: _Z5greedPf spills on sm_90a: 16 bytes stored, 20 loaded',
    ])
  })

  it('refuses serialised wgmma, once for each function', () => {
    const output = `${REPORT}${SERIALISED}\n${SERIALISED}\n`
    expect(findDefects(output, [])).toEqual([SERIALISED])
  })
})
