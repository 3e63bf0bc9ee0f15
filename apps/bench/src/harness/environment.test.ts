import { describe, expect, it } from 'vitest'
import { deviceSlug, lastLevelCacheBytes, readEnvironment } from './environment.ts'

describe('deviceSlug()', () => {
  it('keeps letters and digits and drops trade marks', () => {
    expect(deviceSlug('Intel(R) Xeon(R) CPU @ 2.20GHz')).toBe('intel-xeon-cpu-2-20ghz')
    expect(deviceSlug('AMD EPYC 9B45')).toBe('amd-epyc-9b45')
  })
})

describe('readEnvironment()', () => {
  it('names the device and the version of Node', () => {
    const { device, versions } = readEnvironment()
    expect(device.length).toBeGreaterThan(0)
    expect(versions.node).toBe(process.versions.node)
  })
})

describe('lastLevelCacheBytes()', () => {
  it('lies between 256 KiB and 2 GiB', () => {
    expect(lastLevelCacheBytes()).toBeGreaterThanOrEqual(2 ** 18)
    expect(lastLevelCacheBytes()).toBeLessThanOrEqual(2 ** 31)
  })
})
