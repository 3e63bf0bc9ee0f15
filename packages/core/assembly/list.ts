// Bounded lists of the best entries, a heap with the worst at the root; twin of src/cpu/typescript/list.ts.
import { ENTRY_BYTES, LIST_CAPACITY, LIST_COUNT, LIST_ENTRIES } from '../src/cpu/layout'

/** Key that an entry must reach to enter: -Infinity while there is room, Infinity when there is none at all. */
// @ts-ignore: decorator
@inline
export function listThreshold(list: usize): f32 {
  const capacity = load<u32>(list + LIST_CAPACITY)
  if (capacity == 0) return f32.POSITIVE_INFINITY
  if (load<u32>(list + LIST_COUNT) < capacity) return f32.NEGATIVE_INFINITY
  return load<f32>(list + LIST_ENTRIES)
}

// @ts-ignore: decorator
@inline
export function nextList(list: usize): usize {
  return list + LIST_ENTRIES + load<u32>(list + LIST_CAPACITY) * ENTRY_BYTES
}

// @ts-ignore: decorator
@inline
function isBetter(key: f32, tokenId: u32, otherKey: f32, otherTokenId: u32): bool {
  return key > otherKey || (key == otherKey && tokenId < otherTokenId)
}

export function listInsert(list: usize, key: f32, tokenId: u32, logit: f32, rawLogit: f32): void {
  const entries = list + LIST_ENTRIES
  const count = load<u32>(list + LIST_COUNT)
  let at: u32
  if (count < load<u32>(list + LIST_CAPACITY)) {
    store<u32>(list + LIST_COUNT, count + 1)
    at = count
    while (at > 0) {
      const parent = (at - 1) >> 1
      const from = entries + parent * ENTRY_BYTES
      if (!isBetter(load<f32>(from), load<u32>(from + 4), key, tokenId)) break
      v128.store(entries + at * ENTRY_BYTES, v128.load(from))
      at = parent
    }
  } else {
    if (!isBetter(key, tokenId, load<f32>(entries), load<u32>(entries + 4))) return
    at = 0
    while (true) {
      let child = at * 2 + 1
      if (child >= count) break
      let from = entries + child * ENTRY_BYTES
      if (child + 1 < count) {
        const other = from + ENTRY_BYTES
        if (isBetter(load<f32>(from), load<u32>(from + 4), load<f32>(other), load<u32>(other + 4))) {
          child++
          from = other
        }
      }
      if (!isBetter(key, tokenId, load<f32>(from), load<u32>(from + 4))) break
      v128.store(entries + at * ENTRY_BYTES, v128.load(from))
      at = child
    }
  }
  const to = entries + at * ENTRY_BYTES
  store<f32>(to, key)
  store<u32>(to + 4, tokenId)
  store<f32>(to + 8, logit)
  store<f32>(to + 12, rawLogit)
}
