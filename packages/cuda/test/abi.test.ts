/** The C ABI without a GPU: a C program that links the library, and the argument checks by themselves. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import { describeNative, testProgram } from './native-build.ts'

/** In the order of their values. */
const STATUSES = [
  'OK',
  'INVALID_ARGUMENT',
  'NOT_SERVED',
  'UNSUPPORTED_DEVICE',
  'UNAVAILABLE',
  'CUDA_ERROR',
  'WORKSPACE_TOO_SMALL',
  'OUT_OF_MEMORY',
]

/** Status and text of each reported call, and the other lines a program printed. */
interface Report {
  calls: Map<string, { status: string; text: string }>
  lines: string[]
}

/** Runs a program to its end with no device visible; a crash fails the test that asked. */
function run(name: string): Report {
  const env = { ...process.env, CUDA_VISIBLE_DEVICES: '' }
  const { status, signal, stdout, stderr } = spawnSync(testProgram(name), { encoding: 'utf8', env })
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
  const calls: Report['calls'] = new Map()
  const lines: string[] = []
  for (const line of stdout.trimEnd().split('\n')) {
    const [, call, code, text = ''] = /^(.*?): FLASHSAMPLING_([A-Z_]+): (.*)$/.exec(line) ?? []
    if (call === undefined || code === undefined) lines.push(line)
    else calls.set(call, { status: code, text })
  }
  return { calls, lines }
}

/** Every text ends with the condition that did not hold and where it is checked. */
const LOCATION = /^Cannot .+ \[.+, csrc\/abi\/[a-z_]+\.cc:\d+\]$/

describeNative('C ABI with no device', () => {
  let report: Report

  beforeAll(() => {
    report = run('abi_test')
  })

  it('reports versions, names of statuses and no error before the first', () => {
    const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
    expect(report.lines).toEqual([
      'last error before the first failure: ""',
      'abi version: 1, header 1',
      `version: ${manifest.version}`,
      ...STATUSES.map((name, value) => `status ${value}: FLASHSAMPLING_${name}`),
      'status 8: unknown status',
      // A longer struct is a new field at its end; a shorter one breaks every caller.
      'sizes: 304 272 144 176',
      'count: 0',
      'context: NULL',
      'bytes: 0',
      'pointer: NULL',
    ])
  })

  it('answers every call that needs a GPU with the reason for having none', () => {
    const calls = [...report.calls].filter(([, { status }]) => status === 'UNAVAILABLE')
    expect(calls.map(([call]) => call)).toEqual([
      'device_count',
      'device_properties_get',
      'context_create',
      'workspace_bytes(NULL)',
      'workspace_init(NULL)',
      'sample(NULL)',
      'merge(NULL)',
      'sample_from_logits(NULL)',
      'stream_create(NULL)',
      'stream_destroy(NULL)',
      'stream_synchronize(NULL)',
      'memory_alloc(NULL)',
      'host_alloc(NULL)',
      'memory_free(NULL)',
      'host_free(NULL)',
      'copy_to_device(NULL)',
      'copy_to_host(NULL)',
    ])
    for (const [, { text }] of calls) {
      expect(text).toMatch(LOCATION)
      expect(text).toMatch(/^Cannot use CUDA as (no|the) NVIDIA driver .+: cudaError\w+ \[/)
    }
  })

  it.each([
    ['device_count(NULL)', 'Cannot count devices as "out_count" must not be NULL'],
    ['device_properties_get(NULL)', '"out" must not be NULL'],
    ['device_properties_get(struct_size 0)', '"struct_size" must be sizeof(the struct)'],
    ['context_create(NULL)', '"out_context" must not be NULL'],
    ['context_destroy(never created)', '"context" must be a context that was not destroyed'],
    ['workspace_bytes(NULL, out NULL)', '"out_bytes" must not be NULL'],
    ['sample(never created)', '"context" must be a context that was not destroyed'],
    ['memory_alloc(never created)', '"context" must be a context that was not destroyed'],
    ['memory_alloc(0 bytes)', '"bytes" must be >= 1: current value is 0'],
    ['stream_create(out NULL)', '"out_stream" must not be NULL'],
  ])('rejects %s', (call, text) => {
    expect(report.calls.get(call)?.status).toBe('INVALID_ARGUMENT')
    expect(report.calls.get(call)?.text).toContain(text)
    expect(report.calls.get(call)?.text).toMatch(LOCATION)
  })

  it('allows to destroy nothing', () => {
    expect(report.calls.get('context_destroy(NULL)')?.status).toBe('OK')
  })
})

/** Case of check_args_test.cc, what it must report, and a part of the text; an accepted case has none. */
const CASES: [name: string, status: string, text: string][] = [
  ['sample NULL', 'INVALID_ARGUMENT', 'Cannot sample tokens as "args" must not be NULL'],
  ['sample good', 'OK', ''],
  ['sample struct_size 0', 'INVALID_ARGUMENT', 'at least 272: current value is 0'],
  ['sample struct_size short', 'INVALID_ARGUMENT', 'at least 272: current value is 271'],
  ['sample batch_size 0', 'INVALID_ARGUMENT', '"batch_size" must be >= 1'],
  ['sample batch_size large', 'OK', ''],
  ['sample hidden_size 0', 'INVALID_ARGUMENT', '"hidden_size" must be >= 1'],
  ['sample hidden_size 60', 'INVALID_ARGUMENT', 'must be a multiple of 8: current value is 60'],
  ['sample shard_rows 0', 'INVALID_ARGUMENT', '"shard_rows" must be >= 1'],
  ['sample dtype 2', 'INVALID_ARGUMENT', '"dtype" must be from 0 to 1: current value is 2'],
  ['sample noise_scheme 2', 'INVALID_ARGUMENT', '"noise_scheme" must be from 0 to 1'],
  ['sample kernel 3', 'INVALID_ARGUMENT', '"kernel" must be from 0 to 2: current value is 3'],
  ['sample logprobs_mode 2', 'INVALID_ARGUMENT', '"logprobs_mode" must be from 0 to 1'],
  ['sample token_id_type 2', 'INVALID_ARGUMENT', '"token_id_type" must be from 0 to 1'],
  ['sample reserved 1', 'INVALID_ARGUMENT', '"reserved" must be 0: current value is 1'],
  ['sample int32 ids end at 2^31', 'OK', ''],
  ['sample int32 ids beyond 2^31', 'INVALID_ARGUMENT', 'must be <= 2147483648 with int32'],
  ['sample int64 ids end at 2^32', 'OK', ''],
  ['sample int64 ids beyond 2^32', 'INVALID_ARGUMENT', 'must be <= 4294967296: current value'],
  ['sample candidates end at 2^32', 'OK', ''],
  ['sample hidden_states NULL', 'INVALID_ARGUMENT', '"hidden_states" must not be NULL'],
  ['sample hidden_states misaligned', 'INVALID_ARGUMENT', 'to 16 bytes: current value is 0x1008'],
  ['sample hidden_states_stride short', 'INVALID_ARGUMENT', 'must be >= 64 (one row)'],
  ['sample hidden_states_stride 68', 'INVALID_ARGUMENT', 'must be a multiple of 8'],
  ['sample hidden_states_stride 72', 'OK', ''],
  ['sample hidden_states_stride negative', 'INVALID_ARGUMENT', 'current value is -64'],
  ['sample weight NULL', 'INVALID_ARGUMENT', '"weight" must not be NULL'],
  ['sample weight misaligned', 'INVALID_ARGUMENT', '"weight" must be aligned to 16 bytes'],
  ['sample weight_stride short', 'INVALID_ARGUMENT', '"weight_stride" must be >= 64 (one row)'],
  ['sample weight_stride 65', 'INVALID_ARGUMENT', '"weight_stride" must be a multiple of 8'],
  ['sample weight_stride 2^39', 'INVALID_ARGUMENT', '"weight_stride" must be < 549755813888'],
  ['sample temperature misaligned', 'INVALID_ARGUMENT', '"temperature" must be aligned to 4'],
  ['sample seed misaligned', 'INVALID_ARGUMENT', '"seed" must be aligned to 8'],
  ['sample position misaligned', 'INVALID_ARGUMENT', '"position" must be aligned to 8'],
  ['sample draw_index misaligned', 'INVALID_ARGUMENT', '"draw_index" must be aligned to 4'],
  ['sample num_samples misaligned', 'INVALID_ARGUMENT', '"num_samples" must be aligned to 4'],
  ['sample logit_bias one row', 'OK', ''],
  ['sample logit_bias misaligned', 'INVALID_ARGUMENT', '"logit_bias" must be aligned to 4'],
  ['sample logit_bias_stride short', 'INVALID_ARGUMENT', '"logit_bias_stride" must be >= 1500'],
  ['sample logit_bias_stride enough', 'OK', ''],
  ['sample allowed_tokens_stride short', 'INVALID_ARGUMENT', 'must be >= 32 (one row)'],
  ['sample allowed_tokens_stride enough', 'OK', ''],
  ['sample top_k', 'NOT_SERVED', '"top_k" must be NULL: this version'],
  ['sample top_p', 'NOT_SERVED', '"top_p" must be NULL: this version'],
  ['sample min_p', 'NOT_SERVED', '"min_p" must be NULL: this version'],
  ['sample repetition_penalty', 'NOT_SERVED', '"repetition_penalty" must be NULL'],
  ['sample presence_penalty', 'NOT_SERVED', '"presence_penalty" must be NULL'],
  ['sample frequency_penalty', 'NOT_SERVED', '"frequency_penalty" must be NULL'],
  ['sample prompt_token_mask', 'NOT_SERVED', '"prompt_token_mask" must be NULL'],
  ['sample output_token_counts', 'NOT_SERVED', '"output_token_counts" must be NULL'],
  ['sample no output', 'INVALID_ARGUMENT', '"out_token_ids" or "out_candidates" must not be NULL'],
  ['sample out_token_ids misaligned', 'INVALID_ARGUMENT', 'must be aligned to 4 bytes'],
  ['sample out_token_ids int64 misaligned', 'INVALID_ARGUMENT', 'must be aligned to 8 bytes'],
  ['sample out_logprobs misaligned', 'INVALID_ARGUMENT', '"out_logprobs" must be aligned to 4'],
  ['sample out_log_sum_exp misaligned', 'INVALID_ARGUMENT', '"out_log_sum_exp" must be aligned'],
  ['sample out_row_status misaligned', 'INVALID_ARGUMENT', '"out_row_status" must be aligned'],
  ['sample out_candidates misaligned', 'INVALID_ARGUMENT', '"out_candidates" must be aligned to 8'],
  ['sample workspace NULL', 'INVALID_ARGUMENT', '"workspace" must not be NULL'],
  ['sample workspace misaligned', 'INVALID_ARGUMENT', '"workspace" must be aligned to 256 bytes'],
  ['sample workspace_bytes short', 'WORKSPACE_TOO_SMALL', 'must be >= 4096: current value is 4095'],
  ['merge NULL', 'INVALID_ARGUMENT', 'Cannot merge shards as "args" must not be NULL'],
  ['merge good', 'OK', ''],
  ['merge struct_size short', 'INVALID_ARGUMENT', 'at least 144: current value is 8'],
  ['merge num_shards 0', 'INVALID_ARGUMENT', '"num_shards" must be >= 1'],
  ['merge batch_size 0', 'INVALID_ARGUMENT', '"batch_size" must be >= 1'],
  ['merge noise_scheme 2', 'INVALID_ARGUMENT', '"noise_scheme" must be from 0 to 1'],
  ['merge reserved 1', 'INVALID_ARGUMENT', '"reserved" must be 0'],
  ['merge candidates NULL', 'INVALID_ARGUMENT', '"candidates" must not be NULL'],
  ['merge candidates misaligned', 'INVALID_ARGUMENT', '"candidates" must be aligned to 8'],
  ['merge logprobs without log_sum_exp', 'INVALID_ARGUMENT', '"log_sum_exp" must not be NULL when'],
  ['merge row_status missing', 'INVALID_ARGUMENT', '"row_status" must not be NULL when'],
  ['merge logit_bias_stride negative', 'INVALID_ARGUMENT', 'must be >= 0 (one row)'],
  ['merge out_token_ids NULL', 'INVALID_ARGUMENT', '"out_token_ids" must not be NULL'],
  ['logits NULL', 'INVALID_ARGUMENT', 'Cannot sample from logits as "args" must not be NULL'],
  ['logits good', 'OK', ''],
  ['logits struct_size short', 'INVALID_ARGUMENT', 'at least 176: current value is 8'],
  ['logits batch_size 0', 'INVALID_ARGUMENT', '"batch_size" must be >= 1'],
  ['logits vocab_size 0', 'INVALID_ARGUMENT', '"vocab_size" must be >= 1'],
  ['logits logits_type 3', 'INVALID_ARGUMENT', '"logits_type" must be from 0 to 2'],
  ['logits logprobs_mode 2', 'INVALID_ARGUMENT', '"logprobs_mode" must be from 0 to 1'],
  ['logits reserved 1', 'INVALID_ARGUMENT', '"reserved" must be 0'],
  ['logits int32 ids beyond 2^31', 'INVALID_ARGUMENT', '"vocab_start" + "vocab_size" must be <='],
  ['logits NULL logits', 'INVALID_ARGUMENT', '"logits" must not be NULL'],
  ['logits f32 misaligned', 'INVALID_ARGUMENT', '"logits" must be aligned to 4'],
  ['logits bf16 at 2 bytes', 'OK', ''],
  ['logits logits_stride short', 'INVALID_ARGUMENT', '"logits_stride" must be >= 1001 (one row)'],
  ['logits out_token_ids NULL', 'INVALID_ARGUMENT', '"out_token_ids" must not be NULL'],
  ['logits workspace_bytes short', 'WORKSPACE_TOO_SMALL', 'must be >= 4096: current value is 0'],
  ['newer struct, further fields zero', 'OK', ''],
  ['newer struct, further field set', 'NOT_SERVED', 'a field is set that this version'],
  ['defaults', 'OK', ''],
]

describeNative('argument checks of the C ABI', () => {
  let report: Report

  beforeAll(() => {
    report = run('check_args_test')
  })

  it('are all compared here', () => {
    expect([...report.calls.keys()]).toEqual(CASES.map(([name]) => name))
  })

  it.each(CASES)('%s: %s %s', (name, status, text) => {
    const call = report.calls.get(name)
    expect(call?.status).toBe(status)
    if (status === 'OK') expect(call?.text).toBe('')
    else {
      expect(call?.text).toContain(text)
      expect(call?.text).toMatch(LOCATION)
    }
  })

  it('fill in the documented defaults and keep one text for each thread', () => {
    expect(report.lines).toEqual([
      'defaults filled in: max_num_samples 1, hidden_states_stride 64, weight_stride 64',
      'text on another thread: ""',
      'text on this thread is kept: yes',
    ])
  })
})

/** What debug_log_test writes to standard error under a value of the variable. */
function logUnder(scopes: string | undefined): string[] {
  const { FLASHSAMPLING_DEBUG: _, ...env } = process.env
  const result = spawnSync(testProgram('debug_log_test'), {
    encoding: 'utf8',
    env: scopes === undefined ? env : { ...env, FLASHSAMPLING_DEBUG: scopes },
  })
  expect(result.status).toBe(0)
  return result.stderr.split('\n').filter(Boolean)
}

describeNative('FLASHSAMPLING_DEBUG', () => {
  it.each([undefined, '', '1', 'tile', 'abide', 'tile,xabi'])('%j logs no call', (scopes) => {
    expect(logUnder(scopes)).toEqual([])
  })

  it.each(['abi', 'abi,tile', 'tile,abi'])('%j logs one line for each call', (scopes) => {
    const lines = logUnder(scopes)
    expect(lines).toHaveLength(3)
    expect(lines[0]).toMatch(
      /^flashsampling: flashsampling_sample device=3 stream=0x40 batch_size=4 /,
    )
    expect(lines[1]).toMatch(
      /^flashsampling: flashsampling_merge device=3 stream=0x40 num_shards=2 /,
    )
    expect(lines[2]).toMatch(/^flashsampling: flashsampling_sample_from_logits device=3 /)
  })

  it('names sizes and the pointers that are set', () => {
    const [sample = ''] = logUnder('abi')
    for (const part of ['hidden_size=64', 'weight=0x2000', 'weight_stride=72', 'seed=0x5000']) {
      expect(sample).toContain(` ${part}`)
    }
    expect(sample).not.toContain('temperature')
    expect(sample).toMatch(/ workspace=0x4000 workspace_bytes=4096$/)
  })
})
