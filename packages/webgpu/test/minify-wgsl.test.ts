import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { chooseNames, renameWgsl, stripWgsl } from '../scripts/minify-wgsl.mjs'
import { ShaderCompileError } from '../src/errors.ts'
import { SHADER_NAMES } from '../src/shader-names.generated.ts'
import { withSourceNames } from '../src/source-names.ts'

const folder = fileURLToPath(new URL('../src/shaders/', import.meta.url))
const stripped = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.wgsl'))
  .sort()
  .map((name) => stripWgsl(readFileSync(`${folder}${name}`, 'utf8').replace(/^#include.*$/gm, '')))

function minify(...sources: string[]): string[] {
  const short = sources.map(stripWgsl)
  const names = chooseNames(short)
  return short.map((source) => renameWgsl(source, names))
}

describe('stripWgsl()', () => {
  it('strips what compilers do not read, and keeps signs apart', () => {
    const source = `
      // What it is.
      fn half(x: f32) -> f32 {  // one line
        return x * 0.5 - -1.0;
      }

      struct Two {
        low: vec4<f32>,
        high: vec2<u32>,
      }`
    expect(stripWgsl(source)).toBe(
      'fn half(x:f32)->f32{return x*0.5- -1.0;}\nstruct Two{low:vec4f,high:vec2u}',
    )
  })

  it('leaves directives on lines of their own', () => {
    const source = 'fn f() {\n  #for r ROWS\n  var sum_$r = 0.0;\n  g(sum_$r);\n  #end\n}'
    expect(stripWgsl(source)).toBe('fn f(){\n#for r ROWS\nvar sum_$r=0.0;g(sum_$r);\n#end\n}')
  })
})

describe('chooseNames()', () => {
  it("renames what a shader declares and leaves the language's and the host's names", () => {
    const [short] = minify(
      '@group(0) @binding(0) var<storage, read> values: array<f32>;\nconst SIZE: u32 = WIDTH * 2u;\n' +
        'struct Pair { first: f32, second: f32 }\nfn main(@builtin(workgroup_id) workgroup: vec3<u32>) {\n' +
        '  let pair = Pair(max(values[workgroup.x], f32(SIZE)), 0.0);\n  let both = pair.first + pair.second;\n}',
    )
    for (const name of ['values', 'SIZE', 'Pair', 'first', 'second', 'pair', 'both']) {
      expect(short).not.toMatch(new RegExp(`\\b${name}\\b`))
    }
    for (const name of ['array', 'WIDTH', 'main', 'workgroup', 'workgroup_id', 'max', 'read']) {
      expect(short).toMatch(new RegExp(`\\b${name}\\b`))
    }
  })

  it('keeps the numbers that the host puts into a name apart from other names', () => {
    const [short = ''] = minify(
      'fn f() {\n#for t TOKENS\nlet sum_$t = $tu + 1u;\n#end\nlet sum = 2u;\n}',
    )
    expect(short).toMatch(/let \w_\$t=\$tu\+1u;/)
    expect(short).toMatch(/let [a-z]=2u;/)
  })

  it('gives a name one meaning in all files', () => {
    const [first, second] = minify(
      'fn scale() -> f32 { return 2.0; }',
      'fn f() -> f32 { return scale(); }',
    )
    const [, name] = /^fn (\w+)\(/.exec(first as string) as RegExpExecArray
    expect(second).toContain(`return ${name}();`)
  })

  it('refuses a directive that it does not know', () => {
    expect(() => minify('#if ROWS')).toThrow('Cannot read the directive #if ROWS')
  })
})

describe('the shaders', () => {
  const names = chooseNames(stripped)

  it('have different names for different things, and get them back', () => {
    const back = new Map([...names].map(([name, short]) => [short, name]))
    expect(back.size).toBe(names.size)
    expect(names.size).toBeGreaterThan(200)
    for (const source of stripped) {
      const short = renameWgsl(source, names)
      expect(renameWgsl(short, back)).toBe(source)
      expect(short.length).toBeLessThan(source.length)
    }
  })

  it('name nothing as something that a shader uses without declaring it', () => {
    const used = new Set(
      stripped.flatMap(
        (source) => source.replace(/^#.*$/gm, '').match(/(?<![\w$])[A-Za-z_]\w*/g) ?? [],
      ),
    )
    for (const name of names.keys()) used.delete(name)
    expect([...names.values()].filter((short) => used.has(short))).toEqual([])
  })

  it('come back in messages of compilers', () => {
    const shortOf = (name: string): string =>
      Object.keys(SHADER_NAMES).find((short) => SHADER_NAMES[short] === name) as string
    const cause = new Error('no')
    const message = `line 3: unresolved call target '${shortOf('fill_tile')}' beside a 'vec4f' and '${shortOf('sum_')}0_1'`
    const error = withSourceNames(new ShaderCompileError('tile_sample', [message], { cause }))
    expect(error.messages).toEqual([
      "line 3: unresolved call target 'fill_tile' beside a 'vec4f' and 'sum_0_1'",
    ])
    expect(error.message).toContain('fill_tile')
    expect(error).toMatchObject({ code: 'SHADER_COMPILE', label: 'tile_sample', cause })
  })
})
