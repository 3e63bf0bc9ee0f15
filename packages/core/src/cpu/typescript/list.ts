/**
 * Bounded lists of the best entries, as a heap in linear memory with the worst entry at the root.
 *
 * Better is: higher key, then lower token id.
 */
import { ENTRY_BYTES, LIST_CAPACITY, LIST_COUNT, LIST_ENTRIES } from '../layout.ts'
import type { MemoryViews } from './views.ts'

const WORDS = ENTRY_BYTES >> 2

/**
 * Key that an entry must reach to enter: -Infinity while there is room.
 *
 * @param views - Memory.
 * @param list - Byte address of the list.
 * @returns The worst key, or Infinity for a list of capacity 0.
 */
export function listThreshold(views: MemoryViews, list: number): number {
  const capacity = views.u32[(list + LIST_CAPACITY) >> 2] as number
  if (capacity === 0) return Infinity
  if ((views.u32[(list + LIST_COUNT) >> 2] as number) < capacity) return -Infinity
  return views.f32[(list + LIST_ENTRIES) >> 2] as number
}

/**
 * Offers an entry; it enters when there is room or it beats the worst one.
 *
 * @param views - Memory.
 * @param list - Byte address of the list, capacity > 0.
 * @param key - Score or logit, finite.
 * @param tokenId - Global token id.
 * @param logit - Transformed logit.
 * @param rawLogit - Raw logit.
 */
export function listInsert(
  views: MemoryViews,
  list: number,
  key: number,
  tokenId: number,
  logit: number,
  rawLogit: number,
): void {
  const { f32, u32 } = views
  const entries = (list + LIST_ENTRIES) >> 2
  const count = u32[(list + LIST_COUNT) >> 2] as number
  let at: number
  if (count < (u32[(list + LIST_CAPACITY) >> 2] as number)) {
    u32[(list + LIST_COUNT) >> 2] = count + 1
    // Sift up: move worse-than-parent entries towards the root.
    at = count
    while (at > 0) {
      const parent = (at - 1) >> 1
      const from = entries + parent * WORDS
      if (!isBetter(f32[from] as number, u32[from + 1] as number, key, tokenId)) break
      u32.copyWithin(entries + at * WORDS, from, from + WORDS)
      at = parent
    }
  } else {
    if (!isBetter(key, tokenId, f32[entries] as number, u32[entries + 1] as number)) return
    // Sift down: the worse child moves up into the hole at the root.
    at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= count) break
      let from = entries + child * WORDS
      if (child + 1 < count) {
        const other = from + WORDS
        if (
          isBetter(
            f32[from] as number,
            u32[from + 1] as number,
            f32[other] as number,
            u32[other + 1] as number,
          )
        ) {
          child++
          from = other
        }
      }
      if (!isBetter(key, tokenId, f32[from] as number, u32[from + 1] as number)) break
      u32.copyWithin(entries + at * WORDS, from, from + WORDS)
      at = child
    }
  }
  const to = entries + at * WORDS
  f32[to] = key
  u32[to + 1] = tokenId
  f32[to + 2] = logit
  f32[to + 3] = rawLogit
}

function isBetter(key: number, tokenId: number, otherKey: number, otherTokenId: number): boolean {
  return key > otherKey || (key === otherKey && tokenId < otherTokenId)
}
