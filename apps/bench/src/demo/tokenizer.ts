/**
 * The tokenizer inside a GGUF file: byte-level BPE by `@huggingface/tokenizers`, built from the file's metadata.
 *
 * @module
 */
import { Template } from '@huggingface/jinja'
import { Tokenizer } from '@huggingface/tokenizers'
import { messageOf, UserError } from '../ui/user-error.ts'

/** Turns text into tokens and back. */
export interface ModelTokenizer {
  /** Tokens that end a text. */
  readonly endTokenIds: ReadonlySet<number>
  /**
   * Encodes text; the texts of control tokens become these tokens.
   *
   * @param text - Any text.
   * @returns Token ids, with the leading token where the model wants one.
   */
  encode(text: string): number[]
  /**
   * Puts a user's message into the model's chat template.
   *
   * @param message - What the user says.
   * @returns Text for {@link ModelTokenizer.encode} that ends where the assistant begins to speak.
   * @throws {UserError} when the model has no usable template.
   */
  applyChatTemplate(message: string): string
  /**
   * Makes a decoder for one stream of tokens.
   *
   * @returns The decoder; characters that span several tokens come out with the last of them.
   */
  createDecoder(): TokenDecoder
}

/** Decodes one stream of tokens. */
export interface TokenDecoder {
  /** Adds a token and returns the text that is complete by now; empty for control tokens. */
  push(tokenId: number): string
  /** Ends the stream and returns what is left; an incomplete character becomes U+FFFD. */
  end(): string
}

/** Values of `tokenizer.ggml.token_type`. */
const TOKEN_TYPE = { normal: 1, control: 3, userDefined: 4 } as const

/**
 * Builds the tokenizer of a model.
 *
 * @param metadata - Metadata of the GGUF file.
 * @param path - Path of the file, for messages.
 * @returns The tokenizer.
 * @throws {UserError} when the model has another kind of tokenizer, or its lists are missing.
 */
export function createTokenizer(
  metadata: Readonly<Record<string, unknown>>,
  path: string,
): ModelTokenizer {
  const model = metadata['tokenizer.ggml.model']
  if (model !== 'gpt2') {
    throw new UserError(
      `Cannot use the tokenizer of ${path} as the demo reads byte-level BPE ("gpt2"): ` +
        `current value is ${JSON.stringify(model ?? null)}; use a model with such a tokenizer, for example SmolLM2 or Llama 3`,
    )
  }
  const tokens = stringList(metadata, 'tokenizer.ggml.tokens', path)
  const merges = stringList(metadata, 'tokenizer.ggml.merges', path)
  const types = (metadata['tokenizer.ggml.token_type'] as number[] | undefined) ?? []
  const isControl = (id: number): boolean => types[id] === TOKEN_TYPE.control
  const isText = (id: number): boolean => isControl(id) || types[id] === TOKEN_TYPE.userDefined

  const tokenizer = new Tokenizer(
    {
      version: '1.0',
      added_tokens: tokens.flatMap((content, id) =>
        isText(id)
          ? [
              {
                id,
                content,
                special: isControl(id),
                single_word: false,
                lstrip: false,
                rstrip: false,
                normalized: false,
              },
            ]
          : [],
      ),
      normalizer: null,
      pre_tokenizer: preTokenizer(metadata['tokenizer.ggml.pre'] ?? 'gpt-2', path),
      post_processor: null,
      decoder: { type: 'ByteLevel' },
      model: {
        type: 'BPE',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges,
        ignore_merges: LLAMA3_PRE.has(String(metadata['tokenizer.ggml.pre'])),
        byte_fallback: false,
        fuse_unk: false,
      },
    },
    {},
  )
  const bosId = metadata['tokenizer.ggml.bos_token_id'] as number | undefined
  const eosId = metadata['tokenizer.ggml.eos_token_id'] as number | undefined
  const leading = metadata['tokenizer.ggml.add_bos_token'] === true ? bosId : undefined
  return {
    endTokenIds: findEndTokens(metadata, tokens, isControl),
    encode(text) {
      const { ids } = tokenizer.encode(text, { add_special_tokens: false })
      return leading !== undefined && ids[0] !== leading ? [leading, ...ids] : ids
    },
    applyChatTemplate(message) {
      const textOf = (id: number | undefined): string =>
        id === undefined ? '' : (tokens[id] ?? '')
      return renderChat(metadata['tokenizer.chat_template'], path, {
        messages: [{ role: 'user', content: message }],
        add_generation_prompt: true,
        bos_token: textOf(bosId),
        eos_token: textOf(eosId),
      })
    },
    createDecoder: () =>
      createByteDecoder((id) => {
        if (isControl(id)) return NO_BYTES
        return isText(id) ? new TextEncoder().encode(tokens[id]) : bytesOfToken(tokens[id] ?? '')
      }),
  }
}

const NO_BYTES = new Uint8Array(0)

function stringList(
  metadata: Readonly<Record<string, unknown>>,
  key: string,
  path: string,
): string[] {
  const value = metadata[key]
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')) {
    return value
  }
  throw new UserError(
    `Cannot use the tokenizer of ${path} as it has no list "${key}": use a complete model file`,
  )
}

function findEndTokens(
  metadata: Readonly<Record<string, unknown>>,
  tokens: readonly string[],
  isControl: (id: number) => boolean,
): Set<number> {
  const ends = new Set<number>()
  for (const key of ['eos_token_id', 'eot_token_id', 'eom_token_id']) {
    const id = metadata[`tokenizer.ggml.${key}`]
    if (typeof id === 'number') ends.add(id)
  }
  // Many files name one of several tokens that end a turn; these texts have no other meaning.
  const names = new Set(['<|im_end|>', '<|endoftext|>', '<|eot_id|>', '<|end_of_text|>'])
  tokens.forEach((token, id) => {
    if (names.has(token) && isControl(id)) ends.add(id)
  })
  return ends
}

// --- Splitting before the merges ---

const LLAMA3_PRE = new Set(['llama-bpe', 'llama3', 'llama-v3'])
const DIGIT_PRE = new Set(['smollm', 'starcoder', 'refact', 'command-r', 'codeshell'])
const PLAIN_PRE = new Set(['gpt-2', 'default', 'olmo', 'phi-2', 'mpt'])

const LLAMA3_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/**
 * The GGUF file names its splitting rule only; the rules themselves are those of the models' `tokenizer.json`.
 *
 * @see https://github.com/ggml-org/llama.cpp/blob/master/src/llama-vocab.cpp
 */
function preTokenizer(pre: unknown, path: string): object {
  const byteLevel = (useRegex: boolean): object => ({
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: useRegex,
  })
  const name = String(pre)
  if (PLAIN_PRE.has(name)) return byteLevel(true)
  if (DIGIT_PRE.has(name)) {
    return {
      type: 'Sequence',
      pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
    }
  }
  if (LLAMA3_PRE.has(name)) {
    return {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: LLAMA3_PATTERN }, behavior: 'Isolated', invert: false },
        byteLevel(false),
      ],
    }
  }
  const known = [...DIGIT_PRE, ...LLAMA3_PRE, ...PLAIN_PRE].join(', ')
  throw new UserError(
    `Cannot use the tokenizer of ${path} as its splitting rule must be one of ${known}: ` +
      `current value is ${JSON.stringify(pre)}; use another model`,
  )
}

// --- Chat template ---

function renderChat(template: unknown, path: string, variables: Record<string, unknown>): string {
  if (typeof template !== 'string') {
    throw new UserError(
      `Cannot chat with ${path} as it has no chat template: continue plain text instead ("raw")`,
    )
  }
  try {
    return new Template(template).render(variables)
  } catch (error) {
    throw new UserError(
      `Cannot apply the chat template of ${path} (${messageOf(error)}): continue plain text instead ("raw")`,
      { cause: error },
    )
  }
}

// --- From tokens to text ---

/**
 * Decodes tokens that hold UTF-8 bytes; a character may span several tokens.
 *
 * @param bytesOf - The bytes of a token.
 * @returns A decoder with a state of its own.
 */
export function createByteDecoder(bytesOf: (tokenId: number) => Uint8Array): TokenDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return {
    push: (tokenId) => decoder.decode(bytesOf(tokenId), { stream: true }),
    end: () => decoder.decode(),
  }
}

/**
 * Byte-level BPE writes each byte as one printable character: printable Latin-1 bytes as themselves, the others
 * as the characters from U+0100 on. The library keeps its table to itself and decodes whole texts only.
 *
 * @see https://github.com/openai/gpt-2/blob/master/src/encoder.py
 */
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = (() => {
  const byteOf = new Map<string, number>()
  let next = 0x100
  for (let byte = 0; byte < 256; byte++) {
    const isPrintable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    byteOf.set(String.fromCharCode(isPrintable ? byte : next++), byte)
  }
  return byteOf
})()

function bytesOfToken(token: string): Uint8Array {
  const bytes: number[] = []
  for (const character of token) {
    const byte = BYTE_OF_CHARACTER.get(character)
    if (byte === undefined) bytes.push(...new TextEncoder().encode(character))
    else bytes.push(byte)
  }
  return Uint8Array.from(bytes)
}
