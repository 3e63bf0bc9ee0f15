/**
 * What compilers say of shaders, in the names that the sources have: those on the device are shortened.
 *
 * @module
 */
import { ShaderCompileError } from './errors.ts'
import { SHADER_NAMES } from './shader-names.generated.ts'

/**
 * Puts the names of the sources in place of quoted short ones.
 *
 * @param error - The error of a device.
 * @returns The same error with other messages.
 */
export function withSourceNames(error: ShaderCompileError): ShaderCompileError {
  const messages = error.messages.map((message) =>
    message.replace(/(['`"])([A-Za-z]+_?)(\w*)\1/g, (quoted, quote, short, rest) => {
      const name = SHADER_NAMES[short]
      return name === undefined || (rest !== '' && !short.endsWith('_'))
        ? quoted
        : `${quote}${name}${rest}${quote}`
    }),
  )
  return new ShaderCompileError(error.label, messages, { cause: error.cause })
}
