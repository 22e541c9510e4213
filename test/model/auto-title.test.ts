import { expect, test } from 'vitest'
import { titleFrom } from '../../src/model/auto-title.ts'

const titleOf = (content: unknown) => titleFrom(JSON.stringify({ role: 'user', content }))

test.each([
  ['How are you?', 'How are you?'],
  ['  \n\n## Fix the **build**, please\nIt fails.', 'Fix the build, please'],
  ['Explain monads. Then give examples.', 'Explain monads.'],
  ['e.g. this is no sentence end', 'e.g. this is no sentence end'],
  ['> quoted [link](http://x.example) and `code`', 'quoted link and code'],
  ['```js\nlet x\n```', 'let x'],
  ['- [ ] *do* it_now', '[ ] do it_now'],
  ['2 * 3 * 4', '2 * 3 * 4'],
  ['---\ntext', 'text'],
  ['你好。世界', '你好。世界'],
  ['tab\there\u0007', 'tab here'],
])('%j is titled %j', (content, title) => {
  expect(titleOf(content)).toBe(title)
})

test('a long line ends at a word, with an ellipsis, at no more than 60 characters', () => {
  const words = 'please summarise the following extraordinarily long report for me today'
  expect(titleOf(words)).toBe('please summarise the following extraordinarily long report…')
  expect(titleOf('x'.repeat(61))).toBe(`${'x'.repeat(59)}…`)
  expect(titleOf('x'.repeat(60))).toBe('x'.repeat(60))
  const family = '👩‍👩‍👧‍👦'
  expect(titleOf(family.repeat(70))).toBe(`${family.repeat(59)}…`)
})

test('text is taken from the parts of a message; without any there is no title', () => {
  expect(titleOf([{ type: 'image_url' }, { type: 'text', text: 'what is this?' }])).toBe('what is this?')
  for (const content of [undefined, null, '', ' \n ', [], [{ type: 'image_url' }], 7, '```'])
    expect(titleOf(content)).toBeUndefined()
})
