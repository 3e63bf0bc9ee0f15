/** The headers that kernels are made of, as host C++ against the contract: no GPU, no nvcc. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { bitsOfFloat, buildHostProgram, findCompiler, floatOfBits } from './host-program.ts'

interface NoiseCase {
  seed: string
  position: string
  draw: number
  tokenId: number
  bits: number
  gumbel: number
  vllmBits: number
  vllmGumbel: number
}

interface DrawCase {
  logits: number[]
  seed: string
  position: string | number
  params: {
    temperature?: number
    drawIndex?: number
    logitBias?: Record<string, number>
    allowedTokens?: number[]
  }
  tokenId: number
  logprob: number
  margin: number | null
}

interface Contract {
  philox4x32: { counter: number[]; key: number[]; words: number[] }[]
  philox2x32: { counter: number[]; key: number; words: number[] }[]
  noise: NoiseCase[]
  gumbel: { bits: number; gumbel: number }[]
  sample: DrawCase[]
  head: {
    hiddenStates: number[][]
    weight: number[][]
    temperature: number
    seeds: string[]
    positions: (string | number)[]
    tokenIds: number[]
    logprobs: number[]
  }[]
}

const FLASH = 0
const VLLM = 1
const TRANSFORMED = 0
const RAW = 1
const OK = 0
const INVALID_LOGITS = 1
const ALL_TOKENS_MASKED = 2
const INVALID_PARAMETERS = 3

/** Bound of the contract on fp32 noise. */
const NOISE_ERROR = 1e-5

const contract = JSON.parse(
  readFileSync(new URL('../../../fixtures/contract.json', import.meta.url), 'utf8'),
) as Contract
const compiler = findCompiler()
const program =
  compiler === undefined ? undefined : buildHostProgram(compiler, 'device_math_test.cc')

const title = `device math on the host${program ? '' : ' (skipped: no C++ compiler found)'}`
describe.skipIf(program === undefined)(title, () => {
  const ask = program as NonNullable<typeof program>
  const askNumbers = (commands: string[]) => ask(commands).map((answer) => answer.map(Number))

  describe('philox', () => {
    it('gives the words of the contract', () => {
      const four = contract.philox4x32
      const two = contract.philox2x32
      expect(
        askNumbers(four.map((c) => `philox4x32 ${c.counter.join(' ')} ${c.key.join(' ')}`)),
      ).toEqual(four.map((c) => c.words))
      expect(askNumbers(two.map((c) => `philox2x32 ${c.counter.join(' ')} ${c.key}`))).toEqual(
        two.map((c) => c.words),
      )
    })

    it('gives the known answers of Random123', () => {
      const ones = 0xffffffff
      expect(
        askNumbers([
          'philox2x32 0 0 0',
          `philox2x32 ${ones} ${ones} ${ones}`,
          'philox4x32 0 0 0 0 0 0',
          `philox4x32 ${ones} ${ones} ${ones} ${ones} ${ones} ${ones}`,
        ]),
      ).toEqual([
        [0xff1dae59, 0x6cd10df2],
        [0x2c3f628b, 0xab4fd7ad],
        [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
        [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
      ])
    })
  })

  describe('noise', () => {
    it('gives the bits of the contract, and values within 1e-5, in both schemes', () => {
      const commands = contract.noise.flatMap(({ seed, position, draw, tokenId }) => [
        `noise ${FLASH} ${seed} ${position} ${draw} ${tokenId}`,
        `noise ${VLLM} ${seed} ${position} 0 ${tokenId}`,
      ])
      const answers = ask(commands)
      for (const [i, { bits, gumbel, vllmBits, vllmGumbel }] of contract.noise.entries()) {
        const flash = answers[2 * i] as string[]
        const vllm = answers[2 * i + 1] as string[]
        expect([Number(flash[0]), Number(vllm[0])]).toEqual([bits, vllmBits])
        expect(Math.abs(floatOfBits(flash[1]) - gumbel)).toBeLessThanOrEqual(NOISE_ERROR)
        expect(Math.abs(floatOfBits(vllm[1]) - vllmGumbel)).toBeLessThanOrEqual(NOISE_ERROR)
      }
    })

    it('gives the values of the contract at its extremes', () => {
      const answers = ask(contract.gumbel.map(({ bits }) => `gumbel ${FLASH} ${bits}`))
      for (const [i, { gumbel }] of contract.gumbel.entries()) {
        const error = Math.abs(floatOfBits(answers[i]?.[0]) - gumbel)
        expect(error).toBeLessThanOrEqual(NOISE_ERROR)
      }
    })

    it('keys a row by philox4x32 of position, draw and domain under the seed', () => {
      const keys = contract.noise.flatMap(({ seed, position, draw }) => {
        const words = (value: string) =>
          [BigInt(value) & 0xffffffffn, BigInt(value) >> 32n].join(' ')
        return [
          `philox4x32 ${words(position)} ${draw} 0 ${words(seed)}`,
          `row_key ${FLASH} ${seed} ${position} ${draw}`,
          `row_key ${VLLM} ${seed} ${position} ${draw}`,
        ]
      })
      const answers = askNumbers(keys)
      for (let i = 0; i < answers.length; i += 3) {
        const [x, y] = answers[i] as number[]
        expect(answers[i + 1]).toEqual([x, y])
        expect(answers[i + 2]).toEqual([x, 0])
      }
    })

    it('gives tokens t and t + 8 the two words of one call', () => {
      const tokens = [0, 7, 16, 151_920, 0xfffffff0]
      const commands = tokens.flatMap((token) => [
        `pair 17 4000000000 ${token}`,
        `pair 17 4000000000 ${token + 8}`,
      ])
      const answers = askNumbers(commands)
      const seen = new Set<number>()
      for (let i = 0; i < answers.length; i += 2) {
        const [x, y, low] = answers[i] as number[]
        expect(answers[i + 1]).toEqual([x, y, y])
        expect(low).toBe(x)
        seen.add(x as number).add(y as number)
      }
      expect(seen.size).toBe(2 * tokens.length)
    })

    it.each([
      ['flash', FLASH, 2 ** 32],
      ['vllm', VLLM, 2 ** 32],
    ] as const)(
      'stays within 1e-5 of float64 over a stratified sweep of the bits (%s)',
      (_name, scheme, end) => {
        const ranges = [`0 ${end} 997`, `0 65536 1`, `${end - 65536} ${end} 1`]
        // Both sides of every power of two from either end: seams of formulas and of fp32 exponents.
        for (let exponent = 12; exponent < 32; exponent++) {
          for (const seam of [2 ** exponent, end - 2 ** exponent]) {
            ranges.push(`${seam - 2048} ${seam + 2048} 1`)
          }
        }
        const answers = askNumbers(ranges.map((range) => `sweep ${scheme} ${range}`))
        for (const [error] of answers) expect(error).toBeLessThanOrEqual(NOISE_ERROR)
      },
    )
  })

  describe('candidates', () => {
    const pack = (score: number, tokenId: number) => `pack ${bitsOfFloat(score)} ${tokenId}`

    it('order as integers by score, then by the lower tokenId', () => {
      const descending: [number, number][] = [
        [Infinity, 3],
        [3.4028234663852886e38, 9],
        [22.875, 0],
        [22.875, 1],
        [22.875, 0xfffffffe],
        [1e-45, 4],
        [0, 5],
        [-0, 6],
        [0, 7],
        [-1e-45, 0],
        [-2, 1],
        [-2, 2],
        [-2.5, 0],
        [-3.4028234663852886e38, 0],
      ]
      const packed = ask(descending.map(([score, token]) => pack(score, token)))
      const values = packed.map(([candidate]) => BigInt(candidate as string))
      for (let i = 1; i < values.length; i++)
        expect(values[i]).toBeLessThan(values[i - 1] as bigint)
      expect(values.at(-1)).toBeGreaterThan(0n)
      for (const [i, [score, token]] of descending.entries()) {
        const [, bits, back] = packed[i] as string[]
        expect([floatOfBits(bits), Number(back)]).toEqual([
          score === 0 ? 0 : Math.fround(score),
          token,
        ])
      }
    })

    it('leave room above for the errors of a row, the gravest on top', () => {
      const [[best], ...errors] = ask([
        pack(Infinity, 0),
        ...[INVALID_LOGITS, INVALID_PARAMETERS].map((status) => `row_error ${status}`),
      ]) as [string[], string[], string[]]
      const [logits, parameters] = errors.map(([candidate]) => BigInt(candidate as string))
      expect(logits).toBeGreaterThan(BigInt(best as string))
      expect(parameters).toBeGreaterThan(logits as bigint)
      expect(errors.map((answer) => answer.slice(1).map(Number))).toEqual([
        [1, INVALID_LOGITS],
        [1, INVALID_PARAMETERS],
      ])
    })
  })

  it('log-masses merge to the float64 log-sum-exp, whatever the references', () => {
    const families: [number, number][][] = [
      [],
      [[0, 0]],
      [[3, 2]],
      [
        [-200, 1],
        [0, 0],
        [-201, 3],
      ],
      [
        [88, 5],
        [-90, 7],
        [89, 1],
        [12, 100],
      ],
      [
        [-1e30, 1],
        [1e30, 1],
      ],
      Array.from({ length: 300 }, (_, i): [number, number] => [Math.sin(i) * 8, 1 + (i % 7)]),
    ]
    const commands = families.flatMap((masses) =>
      [masses, [...masses].reverse()].map(
        (list) =>
          `log_mass ${list.length} ${list.map((m) => m.map(bitsOfFloat).join(' ')).join(' ')}`,
      ),
    )
    const answers = ask(commands)
    for (const [i, masses] of families.entries()) {
      const present = masses.filter(([, sum]) => sum > 0)
      const top = Math.max(...present.map(([reference]) => reference))
      const sum = present.reduce(
        (total, [reference, part]) => total + part * Math.exp(Math.fround(reference) - top),
        0,
      )
      const expected = present.length === 0 ? -Infinity : Math.fround(top) + Math.log(sum)
      for (const answer of [answers[2 * i], answers[2 * i + 1]]) {
        const value = floatOfBits(answer?.[0])
        if (expected === -Infinity) expect(value).toBe(-Infinity)
        else
          expect(Math.abs(value - expected)).toBeLessThanOrEqual(
            1e-6 * Math.max(1, Math.abs(expected)),
          )
      }
    }
  })

  it('divides by temperature as fp32 does, at least by 2^-60, and never to infinity', () => {
    const temperatures = [1, 0, 0.7, 2 ** -61, 1e-45, -0, -1, Number.NaN, Infinity]
    const logit = -5.25
    const answers = ask(
      temperatures.map((t) => `temperature ${bitsOfFloat(t)} ${bitsOfFloat(logit)}`),
    )
    const seen = answers.map(([valid, divisor, quotient]) => [
      Number(valid),
      floatOfBits(divisor),
      floatOfBits(quotient),
    ])
    const smallest = 2 ** -60
    expect(seen).toEqual([
      [1, 1, logit],
      [1, 1, logit],
      [1, Math.fround(0.7), Math.fround(logit / Math.fround(0.7))],
      [1, smallest, logit / smallest],
      [1, smallest, logit / smallest],
      [1, 1, logit],
      [0, 1, logit],
      [0, 1, logit],
      [0, 1, logit],
    ])
  })

  it('keeps quotients beyond fp32 finite and in order, and takes them back', () => {
    const crowded = 2 ** 108
    const largest = 3.4028234663852886e38
    for (const temperature of [0.99, 0.5, 0.1, 1e-6, 2 ** -60]) {
      const divisor = Math.fround(temperature)
      // At least eight steps of fp32 apart, four of a quotient's.
      const mantissas = [1, 1 + 2 ** -20, 1.5, 1.5 + 2 ** -20, 2 - 2 ** -20]
      const magnitudes = Array.from({ length: 128 }, (_, exponent) =>
        mantissas.map((mantissa) => mantissa * 2 ** exponent),
      ).flat()
      magnitudes.push(largest)
      const answers = ask(
        magnitudes.flatMap((logit) =>
          [logit, -logit].map(
            (value) => `temperature ${bitsOfFloat(temperature)} ${bitsOfFloat(value)}`,
          ),
        ),
      )
      let previous = 0
      magnitudes.forEach((logit, i) => {
        const [up, upUndone] = (answers[2 * i] ?? []).slice(2).map(floatOfBits) as [number, number]
        const [down, downUndone] = (answers[2 * i + 1] ?? []).slice(2).map(floatOfBits) as [
          number,
          number,
        ]
        expect([down, downUndone]).toEqual([-up, -upUndone])
        if (logit / divisor < crowded) expect(up).toBe(Math.fround(logit / divisor))
        else expect(up).toBeGreaterThanOrEqual(crowded)
        expect(up).toBeGreaterThan(previous)
        expect(up).toBeLessThanOrEqual(largest)
        expect(Math.abs(upUndone - logit)).toBeLessThanOrEqual(2 ** -22 * 1.5 * logit)
        previous = up
      })
    }
    const masked = ask([`temperature ${bitsOfFloat(0.5)} ${bitsOfFloat(-Infinity)}`])[0]?.[2]
    expect(floatOfBits(masked)).toBe(-Infinity)
  })

  it.each([
    ['flash', FLASH],
    ['vllm', VLLM],
  ] as const)('the filter lets every possible winner pass (%s)', (_name, scheme) => {
    const logits = [0, 1, -1, 13.37, -40, 1000, -1000, 65504, -1e6, 1e28, -1e28]
    const commands = logits.flatMap((logit) =>
      [1, 0.37, 19, 1e-4].flatMap((temperature) => [
        `filter ${scheme} 0 4294967296 9973 ${bitsOfFloat(logit)} ${bitsOfFloat(temperature)}`,
        `filter ${scheme} 0 40000 1 ${bitsOfFloat(logit)} ${bitsOfFloat(temperature)}`,
      ]),
    )
    for (const [checked, wrong, hopelessPassed, roughTooHigh] of askNumbers(commands)) {
      expect(checked).toBeGreaterThanOrEqual(40_000)
      expect([wrong, roughTooHigh]).toEqual([0, 0])
      // Only bits 0, whose uniform rounds down to 0, passes whatever the best score.
      expect(hopelessPassed).toBeLessThanOrEqual(1)
    }
  })

  it.each([
    ['flash', FLASH],
    ['vllm', VLLM],
  ] as const)(
    'the filter lets every possible winner pass where scores near the end of fp32 (%s)',
    (_name, scheme) => {
      const commands = [1e30, -1e30, 2.4e38, 3e38, 3.4028234663852886e38, -3.4e38].flatMap(
        (logit) =>
          [1, 19, 0.5, 1e-30].map(
            (temperature) =>
              `filter ${scheme} 0 40000 1 ${bitsOfFloat(logit)} ${bitsOfFloat(temperature)}`,
          ),
      )
      for (const [checked, wrong] of askNumbers(commands)) {
        expect(checked).toBe(40_000)
        expect(wrong).toBe(0)
      }
    },
  )

  describe('a whole draw', () => {
    interface Options {
      scheme?: number
      mode?: number
      vocabStart?: number
      numShards?: number
    }

    const drawCommand = (
      draw: Omit<DrawCase, 'tokenId' | 'logprob' | 'margin'>,
      options: Options = {},
    ) => {
      const { scheme = FLASH, mode = TRANSFORMED, vocabStart = 0, numShards = 1 } = options
      const { temperature = 1, drawIndex = 0, logitBias = {}, allowedTokens = [] } = draw.params
      const biases = Object.entries(logitBias)
      return [
        `draw ${scheme} ${draw.seed} ${draw.position} ${drawIndex} ${bitsOfFloat(temperature)}`,
        `${mode} ${vocabStart} ${numShards} ${draw.logits.length}`,
        ...draw.logits.map(bitsOfFloat),
        biases.length,
        ...biases.map(([token, bias]) => `${token} ${bitsOfFloat(bias)}`),
        `${allowedTokens.length} ${allowedTokens.join(' ')}`,
      ].join(' ')
    }

    const readDraw = ([tokenId, status, logprob, logSumExp, scored]: string[]) => ({
      tokenId: Number(tokenId),
      status: Number(status),
      logprob: floatOfBits(logprob),
      logSumExp: floatOfBits(logSumExp),
      scored: Number(scored),
    })

    const served = new Set(['temperature', 'drawIndex', 'logitBias', 'allowedTokens'])
    const cases = contract.sample.filter(({ params }) =>
      Object.keys(params).every((key) => served.has(key)),
    )

    it('gives the tokens and log-probabilities of the contract for 1 to 8 shards', () => {
      expect(cases.length).toBeGreaterThanOrEqual(24)
      for (const draw of cases) {
        // The oracle's temperature is float64; fp32's lies within 1e-7 of it, logits below 16 apart.
        expect(draw.margin ?? 1).toBeGreaterThan(1e-4)
        const shards = [1, 2, 3, 8]
        const answers = ask(shards.map((numShards) => drawCommand(draw, { numShards }))).map(
          readDraw,
        )
        for (const answer of answers) {
          expect([answer.tokenId, answer.status]).toEqual([draw.tokenId, OK])
          expect(Math.abs(answer.logprob - draw.logprob)).toBeLessThanOrEqual(2e-5)
        }
      }
    })

    it('gives the tokens of the small-integer heads', () => {
      for (const head of contract.head) {
        const commands = head.hiddenStates.map((hidden, row) => {
          const logits = head.weight.map((weight) =>
            weight.reduce((sum, value, i) => sum + value * (hidden[i] as number), 0),
          )
          return drawCommand(
            {
              logits,
              seed: head.seeds[row] as string,
              position: head.positions[row] as string,
              params: { temperature: head.temperature },
            },
            { numShards: 4 },
          )
        })
        const draws = ask(commands).map(readDraw)
        expect(draws.map(({ tokenId }) => tokenId)).toEqual(head.tokenIds)
        for (const [row, { logprob }] of draws.entries()) {
          expect(Math.abs(logprob - (head.logprobs[row] as number))).toBeLessThanOrEqual(2e-5)
        }
      }
    })

    it('scores few tokens in full', () => {
      const logits = Array.from({ length: 20_000 }, (_, i) => Math.sin(i * 12.9898) * 4)
      const seeds = Array.from({ length: 20 }, (_, i) => String(i + 1))
      const commands = [FLASH, VLLM].flatMap((scheme) =>
        seeds.map((seed) => drawCommand({ logits, seed, position: 7, params: {} }, { scheme })),
      )
      const scored = ask(commands).map((answer) => readDraw(answer).scored)
      // Records of a sequence of 20,000: ln(20,000) + 0.58 = 10.5 on average.
      const mean = scored.reduce((sum, value) => sum + value, 0) / scored.length
      expect(mean).toBeGreaterThan(7)
      expect(mean).toBeLessThan(14)
    })

    it('takes raw log-probabilities before bias, mask and temperature', () => {
      const logits = [1.5, -0.25, 3, 0.125, 2.5, -4]
      const params = { temperature: 0.5, logitBias: { 1: 6, 4: -2 }, allowedTokens: [0, 1, 3, 4] }
      const exact = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0))
      for (let seed = 1; seed <= 20; seed++) {
        const draw = { logits, seed: String(seed), position: 0, params }
        const answers = ask([1, 3].map((numShards) => drawCommand(draw, { mode: RAW, numShards })))
        for (const { tokenId, logprob, logSumExp } of answers.map(readDraw)) {
          expect(params.allowedTokens).toContain(tokenId)
          expect(Math.abs(logSumExp - exact)).toBeLessThanOrEqual(1e-6)
          expect(Math.abs(logprob - ((logits[tokenId] as number) - exact))).toBeLessThanOrEqual(
            2e-5,
          )
        }
      }
    })

    it('gives the lowest tokenId on ties of a greedy row, and masks -Infinity', () => {
      const logits = [-Infinity, 2, -1, 2, 2]
      const draw = { logits, seed: '1', position: 0, params: { temperature: 0 } }
      const answers = ask([1, 2, 5].map((numShards) => drawCommand(draw, { numShards }))).map(
        readDraw,
      )
      expect(answers.map(({ tokenId, status }) => [tokenId, status])).toEqual([
        [1, OK],
        [1, OK],
        [1, OK],
      ])
    })

    it('names a row without tokens only when no shard has one', () => {
      const logits = [-Infinity, -Infinity, 0, -Infinity]
      const some = { logits, seed: '1', position: 0, params: {} }
      const none = { ...some, logits: logits.map(() => -Infinity) }
      const [one, four, all] = ask([
        drawCommand(some),
        drawCommand(some, { numShards: 4 }),
        drawCommand(none, { numShards: 4 }),
      ]).map(readDraw)
      expect([one?.tokenId, one?.status, four?.tokenId, four?.status]).toEqual([2, OK, 2, OK])
      expect([one?.logSumExp, four?.logprob]).toEqual([0, 0])
      expect(all).toMatchObject({
        tokenId: -1,
        status: ALL_TOKENS_MASKED,
        logprob: Number.NaN,
        logSumExp: -Infinity,
      })
    })

    it("keeps one shard's NaN or +Infinity, masked or not, above every other shard's winner", () => {
      for (const bad of [Number.NaN, Infinity]) {
        const logits = [0, bad, 30, 1]
        for (const params of [{}, { allowedTokens: [0, 2, 3] }, { temperature: 0 }]) {
          const draw = { logits, seed: '1', position: 0, params }
          for (const { tokenId, status, logprob, logSumExp } of ask(
            [1, 2, 4].map((numShards) => drawCommand(draw, { numShards })),
          ).map(readDraw)) {
            expect([tokenId, status, logprob, logSumExp]).toEqual([-1, INVALID_LOGITS, NaN, NaN])
          }
        }
      }
      for (const temperature of [-1, Number.NaN, Infinity]) {
        const draw = { logits: [Number.NaN, 1], seed: '1', position: 0, params: { temperature } }
        const [answer] = ask([drawCommand(draw, { numShards: 2 })]).map(readDraw)
        expect([answer?.tokenId, answer?.status]).toEqual([-1, INVALID_PARAMETERS])
      }
    })
  })

  it('merges several draws of a row, with -1 beyond its count', () => {
    const packed = ask(
      [
        [3, 10],
        [3, 2],
        [-1, 4],
        [7, 5],
      ].map(([score, token]) => `pack ${bitsOfFloat(score as number)} ${token}`),
    ).map(([candidate]) => candidate as string)
    const [a, b, c, d] = packed
    const shard = (candidates: unknown[], logSumExp: number, status: number) =>
      `${candidates.join(' ')} ${bitsOfFloat(logSumExp)} ${status}`
    const empty = shard([0, 0, 0], -Infinity, ALL_TOKENS_MASKED)
    const answers = ask([
      `merge 3 3 1 3 ${shard([a, c, 0], 1, OK)} ${shard([b, d, c], 1, OK)} ${empty}`,
      `merge 2 3 0 2 ${shard([a, c, 0], 1, OK)} ${empty}`,
      `merge 0 3 1 1 ${empty}`,
      `merge 3 3 1 2 ${shard([a, c, d], 1, INVALID_LOGITS)} ${empty}`,
    ])
    const read = ([status, logSumExp, ...tokenIds]: string[]) => [
      Number(status),
      Math.round(floatOfBits(logSumExp) * 1e5) / 1e5,
      tokenIds.map(Number),
    ]
    expect(answers.map(read)).toEqual([
      [OK, Math.round((1 + Math.LN2) * 1e5) / 1e5, [2, 5, 4]],
      [OK, 1, [10, 4, -1]],
      [OK, -Infinity, [-1, -1, -1]],
      [INVALID_LOGITS, Number.NaN, [-1, -1, -1]],
    ])
  })

  it('keeps the workspace below 1 MiB, its zeroed part in front', () => {
    const [[size, zeroed, logMass] = []] = askNumbers(['workspace'])
    expect(size).toBeLessThan(2 ** 20)
    expect(zeroed).toBe(logMass)
  })
})
