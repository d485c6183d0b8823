import fc from 'fast-check'

/** JSON as people write it: texts that parsing and writing again would change. */
const space = fc.constantFrom('', '', '', ' ', '\n', '\r\n', '\t', '\r', ' \n\n  ')
const number = fc.oneof(
  fc.constantFrom('0', '-0', '1.0', '1.00', '-0.0', '1e5', '1E+400', '-1e-400', '12345678901234567890', '0.1000000000000000055', '9007199254740993', '1e0', '123456789012345678901234567890.5'),
  fc.integer().map(String), fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)
)
const piece = fc.constantFrom(
  'a', 'ü', '€', '𝄞', '\u2028', '\u2029', '\x7F', '\u0085', '\uFEFF', '\u200B', ' ', '\\n', '\\r\\n\\r\\n', '\\n\\nid: 9-9\\n\\n', '\\nevent: gap\\n', 'id: 1-1', 'data:', ':', '\\u0000', '\\u000a', '\\uD834\\uDD1E', '\\ud800', '\\"', '\\\\', '\\\\\\"', '\\/', '/',
  '{', '}', '[', ']', ',', '"data":'.replaceAll('"', '\\"'), '\\u0022', '</script>', '%0a'
)
const string = fc.oneof(fc.array(piece, { maxLength: 6 }).map((pieces) => `"${pieces.join('')}"`), fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify(text)))
const name = fc.oneof(string, fc.constantFrom('"__proto__"', '"constructor"', '"toString"', '"room"', '"data"', '"d\\u0061ta"', '"id"', '"type"', '"messages"', '""'))

const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'json' },
    number, string, fc.constantFrom('null', 'true', 'false', '{}', '[]', '""', '[ ]', '{\n}'),
    fc.array(fc.tuple(space, tie('value'), space).map((parts) => parts.join('')), { maxLength: 4, depthIdentifier: 'json' }).map((items) => `[${items.join()}]`),
    fc.array(fc.tuple(space, name, space, fc.constant(':'), space, tie('value'), space).map((parts) => parts.join('')), { maxLength: 4, depthIdentifier: 'json' }).map((items) => `{${items.join()}}`)
  )
}))

export const jsonText = fc.tuple(space, value, space).map((parts) => parts.join(''))
export { name as jsonName, space as jsonSpace, value as jsonValue }

/** The text without the white space between its tokens: what has to be the same at the other end, byte for byte. */
export function tokens (text: string): string {
  return text.replace(/("(?:[^"\\]|\\.)*")|[ \t\r\n]+/gs, (_, string: string | undefined) => string ?? '')
}
