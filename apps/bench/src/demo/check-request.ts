/**
 * Finds wrong values of a generation before anything long begins.
 *
 * @module
 */
import { normalizeParams, type SamplingParams } from '@flashsampling/core'
import { UserError } from '../ui/user-error.ts'
import type { ModelTokenizer } from './tokenizer.ts'

/**
 * Checks sampling parameters and length; the messages about parameters are core's own.
 *
 * @param params - Parameters of the draws.
 * @param maxTokens - Most tokens a row.
 * @throws {TypeError} when a parameter has a wrong type.
 * @throws {RangeError} when a parameter is out of range.
 * @throws {UserError} when `maxTokens` is no whole number >= 1.
 */
export function checkRequest(params: SamplingParams, maxTokens: number): void {
  // Token ids play no part here, so any vocabulary size serves.
  normalizeParams(params, Number.MAX_SAFE_INTEGER)
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
    throw new UserError(
      `Cannot generate text as "maxTokens" must be a whole number >= 1: current value is ${maxTokens}`,
    )
  }
}

/** Options of {@link encodePrompt}. */
export interface EncodePromptOptions {
  /** Tokenizer of the model. */
  tokenizer: ModelTokenizer
  /** Longest sequence of the model, tokens. */
  contextLength: number
  /** Continues the prompt as it is, without the chat template. */
  raw: boolean
  /** Most tokens that will follow. */
  maxTokens: number
  /** Name of the model, for messages. */
  modelName: string
}

/**
 * Encodes a prompt and makes sure that the text fits behind it.
 *
 * @param prompt - User message, or text to continue.
 * @param options - Tokenizer and limits.
 * @returns Token ids, at least one.
 * @throws {UserError} when the prompt is empty or too long, or the model cannot chat.
 */
export function encodePrompt(prompt: string, options: EncodePromptOptions): number[] {
  const { tokenizer, contextLength, raw, maxTokens, modelName } = options
  const tokenIds = tokenizer.encode(raw ? prompt : tokenizer.applyChatTemplate(prompt))
  if (tokenIds.length === 0) {
    throw new UserError('Cannot generate text as "prompt" is empty: write at least one character')
  }
  if (tokenIds.length + maxTokens > contextLength) {
    throw new UserError(
      `Cannot generate text as a prompt of ${tokenIds.length} tokens and ${maxTokens} new ones exceed the ` +
        `${contextLength} tokens of ${modelName}: shorten "prompt" or lower "maxTokens"`,
    )
  }
  return tokenIds
}
