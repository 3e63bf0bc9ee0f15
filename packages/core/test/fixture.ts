/** `fixtures/contract.json`, typed. */
import { readFileSync } from 'node:fs'
import type { SamplingParams } from '../src/index.ts'

export interface ContractFixture {
  philox4x32: { counter: number[]; key: number[]; words: number[] }[]
  philox2x32: { counter: number[]; key: number; words: number[] }[]
  noise: {
    seed: string
    position: string
    draw: number
    tokenId: number
    bits: number
    gumbel: number
    vllmBits: number
    vllmGumbel: number
  }[]
  gumbel: { bits: number; gumbel: number }[]
  sample: {
    logits: number[]
    seed: string
    position: string
    params: Omit<SamplingParams, 'seed' | 'position'>
    tokenId: number
    logprob: number
    margin: number | null
    kept: number
  }[]
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

export function readContractFixture(): ContractFixture {
  const file = new URL('../../../fixtures/contract.json', import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8')) as ContractFixture
}
