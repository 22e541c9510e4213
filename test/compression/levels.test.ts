import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { compressRequest } from '../../src/compression/compress-request.ts'
import { currentVersion, versions } from '../../src/compression/compress-text.ts'
import type { CompressionLevel } from '../../src/compression/levels.ts'
import { expandRepeats } from '../../src/compression/lossless.ts'

const at = (level: CompressionLevel, text: string): string => versions[currentVersion]?.(text, level) ?? ''
const lossy = ['low', 'medium', 'high'] as const

describe('low', () => {
  test.each([
    ['Spaces   between\twords.  \n\n\n\nAnd lines.', 'Spaces between\twords.\n\nAnd lines.'],
    ['In order to win, you play due to the fact that it is fun.', 'To win, you play because it is fun.'],
    [
      'There are a large number of these in a large number of boxes.',
      'There are a large number of these in many boxes.',
    ],
    ['- a point   of two\n  - and one below  ', '- a point of two\n  - and one below'],
    ['Please could you explain the very first one?', 'Please could you explain the very first one?'],
  ])('%j', (text, expected) => expect(at('low', text)).toBe(expected))
})

describe('medium', () => {
  test.each([
    ['Could you please explain how it works?', 'Explain how it works?'],
    ['Could you explain how it works? Thank you in advance.', 'Explain how it works?'],
    ['I would like you to write this really fast, please.', 'Write this fast.'],
    ['It is important to note that it is basically a very good idea.', 'It is a very good idea.'],
    // What emphasises a negation softens it.
    [
      'This is not a really good idea, and not really mine.',
      'This is not a really good idea, and not really mine.',
    ],
    ['Could you swim there when you were a child?', 'Could you swim there when you were a child?'],
    ['What does it take to please them with the show?', 'What does it take to please them with the show?'],
    ['Please Please Me is the album I like.', 'Please Please Me is the album I like.'],
  ])('%j', (text, expected) => expect(at('medium', text)).toBe(expected))
})

describe('high', () => {
  test.each([
    ['The cat that is sitting on the mat has a fish.', 'Cat sitting on mat has fish.'],
    ['Ensure that the user is in a group.', 'Ensure user is in group.'],
    [
      'The Hague is where the Beatles had a third of a day.',
      'The Hague is where the Beatles had a third of a day.',
    ],
    [
      'Twice a day a few of you take vitamin a in it, the more the better.',
      'Twice a day a few of you take vitamin a in it, the more the better.',
    ],
    ['Let a be the sum of b and c for this.', 'Let a be sum of b and c for this.'],
  ])('%j', (text, expected) => expect(at('high', text)).toBe(expected))
})

describe.each(lossy)('%s leaves alone', level => {
  test.each([
    [
      'fenced code',
      'What is this about?\n```js\nconst  a = "in order to"   // please\n\n\n\n  the end\n```\nTell me of it.',
    ],
    ['a fence that is never closed', 'See what is in this:\n~~~\nthe   code\n\n\n\nplease'],
    ['indented code', 'It is this:\n\n    if  the  a\n    please'],
    ['bare code', 'def the(a):\nreturn  a  // the very end\nx  =  the  a;'],
    ['JSON', '{"the  user": "could you please",\n\n\n\n "a": [1,  2]}'],
    [
      'JSON in a text',
      'Here is what I have of it:\n{\n  "the  user": "please, the very end",\n\n\n\n  "a": {}\n}\nand that is it.',
    ],
    ['code in a line', 'Run `please  the` and `a  the` on it.'],
    ['quotes', 'Translate "could you please take the   bus" and “the very   end” for me.'],
    [
      'addresses',
      'Read https://the.example/a/the?please=the%20end and mail the.boss@a.example or /usr/the/a for it.',
    ],
    ['placeholders', 'Write to [EMAIL_1] of [PERSON_2] for me.'],
    ['tables', '| the  user | a  name |\n|---|---|\n| the  end | please |'],
    ['formulas', 'Solve $the  a$ and x  =  a for me.'],
    ['elements', '<pre>\nthe   very   end\n\n\n\n</pre>'],
    ['other languages', 'A casa do Pedro e a rua the não são uma só para ele, com the mundo.'],
    ['other scripts', 'Это the дом, и a сад.'],
  ])('%s', (_, text) => expect(at(level, text)).toBe(text))
})

test('a text that says nothing else is not made empty', () => {
  expect(at('medium', 'Thank you!')).toBe('Thank you!')
  expect(at('high', '')).toBe('')
})

describe('lossless', () => {
  const passage = 'the terms of the contract that was signed in the year before the last one'

  test('says a passage once, and gives it back', () => {
    const text = `First, ${passage} it is.\nSecond: ${passage} and again ${passage} to the end, where ${passage} stands.`
    const told = at('lossless', text)
    expect(told).toBe(
      '[§1(text§) gives the text between the name §1; from there on §1; stands for it.]\n' +
        `First, §1(${passage}§) it is.\nSecond: §1; and again §1; to the end, where §1; stands.`,
    )
    expect(expandRepeats(told)).toBe(text)
  })

  test('uses a mark that the text does not hold, and tells its own line from what it wrote', () => {
    const text = `§ and §a: ${`${passage} and more of it then, `.repeat(6)}`
    const told = at('lossless', text)
    expect(told).toContain('§b1(')
    expect(expandRepeats(told)).toBe(text)
    const again = at('lossless', told)
    expect(again).not.toBe(told)
    expect(expandRepeats(again)).toBe(told)
  })

  test('leaves code alone, and what does not repeat enough', () => {
    const code = `\`\`\`\n${`${passage}\n`.repeat(9)}\`\`\`\n`
    expect(at('lossless', code)).toBe(code)
    expect(at('lossless', `${passage}, ${passage}`)).toBe(`${passage}, ${passage}`)
  })
})

test('only what users and systems say is compressed', async () => {
  const said = 'Could you please tell the   user?'
  const message = (role: string, content: unknown, more: object = {}) => ({ role, content, ...more })
  const text = JSON.stringify(
    {
      model: said,
      messages: [
        message('system', said, { name: said }),
        message('developer', said),
        message('assistant', said, { tool_calls: [{ function: { name: 'f', arguments: said } }] }),
        message('tool', said, { tool_call_id: said }),
        message('user', [
          { type: 'text', text: said },
          { type: 'image_url', image_url: { url: said } },
          { type: 'file', file: { file_data: said }, text: said },
        ]),
        message('user', null),
      ],
      tools: [{ type: 'function', function: { description: said } }],
      metadata: { user: said },
    },
    undefined,
    1,
  )
  const sent = await compressRequest(text, () => 'X')
  const told = JSON.parse(sent) as { messages: { role: string; content: unknown }[] }
  expect(told.messages.map(({ content }) => content)).toEqual([
    'X',
    'X',
    said,
    said,
    [
      { type: 'text', text: 'X' },
      { type: 'image_url', image_url: { url: said } },
      { type: 'file', file: { file_data: said }, text: said },
    ],
    null,
  ])
  expect(sent.split('"X"')).toHaveLength(4)
  expect(sent.replaceAll('"X"', JSON.stringify(said))).toBe(text)
})

test('what version 1 does never changes: requests of the past are made again by it', () => {
  const text = [
    'Could you please explain, in order to be sure, what the very first of the users that are named here did?',
    'A  list:\n- the  one\n- a few\n\n\n\n`the code`',
    `${'the house at the end of the street in the town where we live; '.repeat(12)}`,
  ].join('\n')
  const digest = createHash('sha256')
  for (const level of [...lossy, 'lossless'] as const)
    digest.update(versions[1]?.(text, level) ?? '').update('\0')
  expect(digest.digest('hex')).toBe('8639308b28173a7977339ddd7ce93cab0f798ebf07988e77550579d73a5f9c29')
})

test('nor does what version 2 does', () => {
  const text = [
    'Could you please explain, in order to be sure, what the very first of the users that are named here did?',
    'git commit -m really the --amend\nid,the name,a value\n1,  really big,the x\nname: the  service\nkind: a  thing',
    `${'the house at the end of the street in the town where we live; '.repeat(12)}`,
  ].join('\n')
  const digest = createHash('sha256')
  for (const level of [...lossy, 'lossless'] as const)
    digest.update(versions[2]?.(text, level) ?? '').update('\0')
  expect(digest.digest('hex')).toBe('075afd4bb66daed5c053243dd657be4884c6641dc844db73c7b77e55cf8d0f67')
})

test.each([
  'git commit -m really the --amend',
  'for the in a; do echo the; done',
  'cat the  log | grep a',
  'make the && make a  test',
  'id,the name,a value\\n1,  really big, the x',
  'name: the service\nreplicas:  3\nimage: a/b:latest',
])('what nothing encloses and is code all the same stays as it is: %j', code => {
  const told = `Could you please tell me what the following does, in order to be sure?\n${code}\nThank you.`
  for (const level of lossy) expect(versions[currentVersion]?.(told, level)).toContain(code)
})
