import { writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { useTemporaryDirectory } from '../../test/temporary-directory.ts'
import { createNodeHost } from './node-host.ts'
import { makeWebGpuPlan } from './plan.ts'
import { runJob } from './run-webgpu.ts'

const temporary = useTemporaryDirectory()

/** A program that ends early with the engine, or in any case. */
function writeProgram(condition: string): string {
  const program = temporary.file('program.mjs')
  writeFileSync(
    program,
    `const job = JSON.parse(process.argv[3])
    const say = (message) => console.log(JSON.stringify(message))
    for (const contender of job.contenders) say({ kind: 'record', record: { contender, batchSize: 1 } })
    if (${condition}) {
      console.error('the driver is lost')
      process.exit(3)
    }
    say({ kind: 'done' })`,
  )
  return program
}

describe('runJob()', () => {
  const [job] = makeWebGpuPlan({ contenders: 'gpu-sort,onnxruntime-web' }, true)
  const run = (condition: string): ReturnType<typeof runJob> =>
    runJob(createNodeHost({ isSoftware: false, program: writeProgram(condition) }), job!, '1 of 1')
  const failure = 'the process ended early (exit code 3): the driver is lost'

  it('tries a head again without the engine, and tells why', async () => {
    const result = await run("job.contenders.includes('onnxruntime-web')")
    expect(result.records.map(({ contender }) => contender)).toEqual(['gpu-sort'])
    expect(result.leftOut).toEqual({ 'onnxruntime-web, smollm2 q8_0': failure })
  })

  it('keeps what a second failure leaves', async () => {
    const result = await run('true')
    expect(result.records.map(({ contender }) => contender)).toEqual(['gpu-sort'])
    expect(result.leftOut['rest of smollm2 q8_0']).toBe(failure)
  })

  it('takes all of a head that works', async () => {
    const result = await run('false')
    expect(result.records).toHaveLength(2)
    expect(result.leftOut).toEqual({})
  })
})
