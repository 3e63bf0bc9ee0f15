/**
 * Amounts of memory in words.
 *
 * @module
 */

/**
 * Formats a number of bytes for people, decimal units.
 *
 * @param bytes - >= 0.
 * @returns For example `92.9 MB`.
 */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let unit = 0
  let value = bytes
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
