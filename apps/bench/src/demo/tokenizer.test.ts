import { describe, expect, it } from 'vitest'
import { createByteDecoder, createTokenizer, type ModelTokenizer } from './tokenizer.ts'

const CONTROL = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']

/** Byte-level characters, written down as GPT-2 defines them: 188 printable ones, then 68 from U+0100 on. */
const CHARACTERS = Array.from({ length: 256 }, (_, byte) => {
  const printable = /[!-~¡-¬®-ÿ]/
  const own = String.fromCharCode(byte)
  if (printable.test(own)) return own
  const before = Array.from({ length: byte }, (_, b) => String.fromCharCode(b))
  return String.fromCharCode(0x100 + before.filter((c) => !printable.test(c)).length)
})

function metadataOf(extra: Record<string, unknown> = {}): Record<string, unknown> {
  const merges = ['h e', 'l l', 'he ll', 'hell o', '1 2', '12 3', 'Ġ w']
  const tokens = [...CONTROL, ...CHARACTERS, ...merges.map((merge) => merge.replace(' ', ''))]
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'smollm',
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': tokens.map((_, id) => (id < 3 ? 3 : 1)),
    'tokenizer.ggml.merges': merges,
    'tokenizer.ggml.eos_token_id': 2,
    'tokenizer.ggml.bos_token_id': 1,
    'tokenizer.chat_template':
      "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}" +
      '{% if add_generation_prompt %} [assistant]{% endif %}',
    ...extra,
  }
}

const make = (extra?: Record<string, unknown>): ModelTokenizer =>
  createTokenizer(metadataOf(extra), 'tiny.gguf')

function piecesOf(tokenizer: ModelTokenizer, text: string): string[] {
  const tokens = metadataOf()['tokenizer.ggml.tokens'] as string[]
  return tokenizer.encode(text).map((id) => tokens[id] as string)
}

function decode(tokenizer: ModelTokenizer, tokenIds: readonly number[]): string[] {
  const decoder = tokenizer.createDecoder()
  return [...tokenIds.map((id) => decoder.push(id)), decoder.end()]
}

describe('createTokenizer()', () => {
  it('applies merges, keeps control tokens whole and splits digits as the model asks', () => {
    expect(piecesOf(make(), '<|im_start|>hello w123')).toEqual([
      '<|im_start|>',
      'hello',
      'Ġw',
      '1',
      '2',
      '3',
    ])
    expect(piecesOf(make({ 'tokenizer.ggml.pre': 'llama-bpe' }), '1234')).toEqual(['123', '4'])
    expect(piecesOf(make({ 'tokenizer.ggml.pre': 'gpt-2' }), '1234')).toEqual(['123', '4'])
  })

  it('decodes to the text that was encoded, for every byte that text can hold', () => {
    const text = 'hello wörld\n\t\u0000\u007f\u00a0\u00ad 你好 🎉 \ufeff\ufffd'
    const tokenizer = make()
    expect(decode(tokenizer, tokenizer.encode(text)).join('')).toBe(text)
  })

  it('holds back a character until its last token', () => {
    const tokenizer = make()
    expect(decode(tokenizer, tokenizer.encode('a🎉b'))).toEqual(['a', '', '', '', '🎉', 'b', ''])
  })

  it('marks a character that never ends', () => {
    const tokenizer = make()
    expect(decode(tokenizer, tokenizer.encode('🎉').slice(0, 2))).toEqual(['', '', '\ufffd'])
  })

  it('decodes control tokens to nothing and tokens of the user as they are', () => {
    const types = [3, 3, 3, ...Array(263).fill(1)]
    types[3] = 4
    const tokenizer = make({ 'tokenizer.ggml.token_type': types })
    expect(decode(tokenizer, [1, 2, 3])).toEqual(['', '', CHARACTERS[0], ''])
  })

  it('puts the leading token in front once where the model wants it', () => {
    const tokenizer = make({ 'tokenizer.ggml.add_bos_token': true })
    expect(tokenizer.encode('h')[0]).toBe(1)
    expect(tokenizer.encode('<|im_start|>h')).toEqual(tokenizer.encode('h'))
    expect(make().encode('h')[0]).not.toBe(1)
  })

  it('ends texts at the token that the file names and at those with no other meaning', () => {
    expect([...make().endTokenIds].sort()).toEqual([0, 2])
    expect(make({ 'tokenizer.ggml.eot_token_id': 9 }).endTokenIds.has(9)).toBe(true)
  })

  it('applies the chat template of the file', () => {
    expect(make().applyChatTemplate('hi')).toBe('<|im_start|>[user] hi [assistant]')
  })

  it('names what is missing or unknown and what to do', () => {
    const refusals: [Record<string, unknown>, RegExp][] = [
      [{ 'tokenizer.ggml.model': 'llama' }, /current value is "llama"; use a model/],
      [{ 'tokenizer.ggml.model': undefined }, /current value is null/],
      [{ 'tokenizer.ggml.pre': 'tekken' }, /splitting rule must be one of smollm.*"tekken"/],
      [{ 'tokenizer.ggml.tokens': [] }, /no list "tokenizer\.ggml\.tokens"/],
      [{ 'tokenizer.ggml.merges': undefined }, /no list "tokenizer\.ggml\.merges"/],
    ]
    for (const [extra, message] of refusals) expect(() => make(extra)).toThrow(message)
    expect(() => make({ 'tokenizer.chat_template': undefined }).applyChatTemplate('hi')).toThrow(
      /no chat template: continue plain text instead \("raw"\)/,
    )
    expect(() => make({ 'tokenizer.chat_template': '{% for %}' }).applyChatTemplate('hi')).toThrow(
      /Cannot apply the chat template.*continue plain text instead \("raw"\)/,
    )
  })
})

describe('createByteDecoder()', () => {
  it('keeps streams apart', () => {
    const bytes = (id: number): Uint8Array => Uint8Array.of(id)
    const first = createByteDecoder(bytes)
    const second = createByteDecoder(bytes)
    expect([first.push(0xc3), second.push(0x41), first.push(0xbc)]).toEqual(['', 'A', 'ü'])
  })
})
