import fc from 'fast-check'
import { expect, test } from 'vitest'
import { markdownLines } from '../../src/cli/chat/markdown.ts'
import { MarkdownStream } from '../../src/cli/chat/markdown-stream.ts'
import { type Line, lineText, lineWidth } from '../../src/cli/chat/styled.ts'

const textsOf = (lines: readonly Line[]): string[] => lines.map(line => lineText(line, false))

/** What Markdown is made of, in any order. */
const piece = fc.constantFrom(
  'word',
  ' ',
  '\n',
  '\n\n',
  '# ',
  '## ',
  '- ',
  '1. ',
  '  ',
  '    ',
  '> ',
  '**',
  '_',
  '`',
  '```\n',
  '~~',
  '[a](http://b.example)',
  '![i](j)',
  '| a | b |\n|---|---|\n| c | d |\n',
  '| ',
  '---\n',
  '- [x] ',
  '漢字かな',
  '👍🏽',
  'a-word-that-is-longer-than-most-lines-are-wide',
  '<b>',
  '&amp;',
  '\\*',
  '\t',
  '\r\n',
  '\u001b[31m',
  '\u0000',
  '&#27;[2J',
  '&#x9b;31m',
)
const markdown = fc.array(piece, { maxLength: 40 }).map(pieces => pieces.join(''))
const width = fc.integer({ min: 12, max: 60 })

test('no line is wider than there is room for, and none holds what a terminal would obey', () => {
  fc.assert(
    fc.property(markdown, width, (text, room) => {
      for (const line of markdownLines(text, room)) {
        // Nested blocks have marks before them and keep a few columns however narrow it is.
        expect(lineWidth(line)).toBeLessThanOrEqual(Math.max(room, 30))
        expect(line.map(({ text }) => text).join('')).not.toMatch(/\p{Cc}/u)
      }
    }),
    { numRuns: 500 },
  )
})

test('what comes in pieces looks at its end as if it had come at once', () => {
  fc.assert(
    fc.property(markdown, width, fc.integer({ min: 1, max: 9 }), (text, room, size) => {
      const stream = new MarkdownStream()
      const shown: Line[] = []
      for (let at = 0; at < text.length; at += size) {
        stream.add(text.slice(at, at + size))
        shown.push(...stream.render(room).settled)
      }
      shown.push(...stream.end(room))
      expect(textsOf(shown)).toEqual(textsOf(markdownLines(text, room)))
    }),
    { numRuns: 500 },
  )
})

test.each([
  ['quotes', '> ', 100],
  ['quotes that no stack holds', '> ', 30_000],
  ['lists', '1. ', 3_000],
])('a text that is nested beyond all reason is shown as it stands: %s', (_, mark, times) => {
  const text = `${mark.repeat(times)}x`
  const lines = textsOf(markdownLines(text, 80))
  expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''))
})

test('each part of Markdown has a look of its own', () => {
  const lines = markdownLines('# Title\n\n**bold** *em* `code` ~~gone~~ [link](http://a.example)', 80)
  expect(lines.map(line => lineText(line, true))).toEqual([
    '\u001b[1;4;36mTitle\u001b[0m',
    '',
    '\u001b[1mbold\u001b[0m \u001b[3mem\u001b[0m \u001b[32mcode\u001b[0m \u001b[9mgone\u001b[0m \u001b[4;34mlink\u001b[0m\u001b[2m (http://a.example)\u001b[0m',
  ])
})

test('a character that is written as its number is shown, not obeyed', () => {
  const text = 'a &#27;[2J `&#x9b;` [b](c&#7;d)\n\n| &#27;]0;x | b |\n|---|---|\n| c | d |'
  expect(textsOf(markdownLines(text, 60))).toEqual([
    'a \\x1b[2J &#x9b; b (c&#7;d)',
    '',
    '\\x1b]0;x │ b',
    expect.stringMatching(/^─+┼─+$/),
    'c        │ d',
  ])
  expect(lineText([{ text: 'forgotten \u001b[2J' }], true)).toBe('forgotten \\x1b[2J')
})

test('where a reference leads is shown', () => {
  expect(textsOf(markdownLines('It is so.\n\n[1]: https://a.example "A"', 60))).toEqual([
    'It is so.',
    '',
    '[1]: https://a.example "A"',
  ])
})
