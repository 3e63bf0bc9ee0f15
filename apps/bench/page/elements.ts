/**
 * Elements of `index.html`, by id and with their types.
 *
 * @module
 */

/**
 * Finds an element.
 *
 * @param id - Its id.
 * @param type - Its class.
 * @returns The element.
 * @throws {Error} when the page has no such element.
 */
export function elementOf<T extends Element>(id: string, type: new () => T): T {
  const element = document.getElementById(id)
  if (element instanceof type) return element
  throw new Error(`The page has no ${type.name} with id "${id}"`)
}
