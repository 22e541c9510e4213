import fc from 'fast-check'
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base'
import { expect, test } from 'vitest'
import { currentVersion, versions } from '../../src/compression/compress-text.ts'
import { type CompressionLevel, compressionLevels } from '../../src/compression/levels.ts'
import { expandRepeats } from '../../src/compression/lossless.ts'
import { compressed, sentBytes, sentRecord } from '../../src/compression/sent.ts'
import { parseChatRequest } from '../../src/model/chat-request.ts'
import { upstreamBody } from '../../src/model/upstream-body.ts'

const at = (level: CompressionLevel, text: string): string => versions[currentVersion]?.(text, level) ?? ''

const introduction = (mark: string) =>
  `[${mark}1(text${mark}) gives the text between the name ${mark}1; from there on ${mark}1; stands for it.]\n`

/** What is said, and what could be taken for a mark of the transformation. */
const piece = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 8 }),
  fc.constantFrom(
    '§',
    '§1;',
    '§1(',
    '§)',
    '§a',
    '§a1;',
    '§b2(',
    '1(',
    ')',
    ';',
    '\ud800',
    '\r\n',
    '\n\n\n',
    '  ',
    '```\n',
    '{',
  ),
  fc.constantFrom(introduction('§'), introduction('§a')),
  fc.constantFrom(
    'Could you please explain the very first of the things that are named here? ',
    'in order to be sure of what is said by all of those who were not there ',
    'the terms of the contract that was signed in the year before the last one, ',
  ),
)
const text = fc.array(piece, { maxLength: 24 }).map(pieces => pieces.join(''))

/** Texts made of few passages, each several times. */
const repetitive = fc
  .tuple(fc.array(text, { minLength: 1, maxLength: 4 }), fc.array(fc.nat(3), { maxLength: 14 }), text)
  .map(([passages, order, start]) => start + order.map(index => passages[index % passages.length]).join(' '))

test('the lossless level gives back any text exactly', () => {
  fc.assert(
    fc.property(fc.oneof(text, repetitive, fc.string({ unit: 'binary' })), said => {
      const told = at('lossless', said)
      expect(expandRepeats(told)).toBe(said)
      expect(expandRepeats(at('lossless', told))).toBe(told)
    }),
    { numRuns: 2_000 },
  )
})

test('and it is used where something repeats', () => {
  const passage = 'the terms of the contract that was signed in the year before the last one'
  fc.assert(
    fc.property(fc.array(fc.constantFrom('\n', ' and ', ' or '), { minLength: 6, maxLength: 12 }), joints => {
      const said = joints.map(joint => passage + joint).join('')
      expect(at('lossless', said).length).toBeLessThan(said.length)
    }),
  )
})

test('no level makes more tokens of a text', () => {
  const words = fc.constantFrom(
    ...'the of internationalization contract 数据 123 foo-bar, https://x.y/z really § {a} "q" to'.split(' '),
  )
  const passages = fc
    .array(fc.array(words, { minLength: 3, maxLength: 24 }), { minLength: 1, maxLength: 3 })
    .chain(some => fc.array(fc.constantFrom(...some), { minLength: 1, maxLength: 8 }))
    .map(all => all.map(one => one.join(' ')).join('\n'))
  fc.assert(
    fc.property(passages, said => {
      for (const level of compressionLevels)
        expect(countTokens(at(level, said)), level).toBeLessThanOrEqual(countTokens(said))
    }),
    { numRuns: 500 },
  )
})

const found = (said: string, pattern: RegExp) => (said.match(pattern) ?? []).map(one => one.toLowerCase())

const kept: readonly [string, RegExp][] = [
  ['code', /```[\s\S]*?```|`[^`\n]+`/g],
  ['numbers', /\d+(?:[.,:]\d+)*/g],
  ['negations', /\b(?:not|no|never|none|nothing|nobody|cannot|without|neither|nor)\b|n['’]t\b/gi],
  ['addresses', /https?:\/\/\S+/g],
  ['placeholders', /\[[A-Z_]+_\d+\]/g],
]
const word = fc.constantFrom(
  ...'the a an The A very really please Please could you can explain not never no without don’t isn’t 12 3.5 1,000 it is that are of in order to Ada Paris'.split(
    ' ',
  ),
  'https://a.example/the?a=please',
  '[EMAIL_1]',
  '`the  very a`',
  '\n```\nthe  a\n\n\n\nplease\n```\n',
  '\n',
  '.',
  ',',
  '?',
)
const prose = fc.array(word, { maxLength: 60 }).map(words => words.join(' '))

test.each(['low', 'medium', 'high'] as const)(
  '%s keeps code, numbers, negations, addresses, placeholders and lines',
  level => {
    fc.assert(
      fc.property(prose, said => {
        const told = at(level, said)
        expect(told.length).toBeLessThanOrEqual(said.length)
        for (const [what, pattern] of kept) expect(found(told, pattern), what).toEqual(found(said, pattern))
      }),
      { numRuns: 500 },
    )
  },
)

const string = fc.oneof(text, prose)
const part = fc.oneof(
  fc.record({ type: fc.constant('text'), text: string }),
  fc.record({ type: fc.constant('image_url'), image_url: fc.record({ url: string }) }),
)
const message = fc.record({
  role: fc.constantFrom('user', 'system', 'assistant', 'tool'),
  content: fc.oneof(string, fc.array(part, { maxLength: 3 }), fc.constant(null)),
})
const request = fc.record({
  model: fc.constantFrom('m', 'other'),
  messages: fc.array(message, { minLength: 1, maxLength: 4 }),
  stream: fc.boolean(),
})

test('the bytes that were sent are made again from the request and what is recorded of them', async () => {
  await fc.assert(
    fc.asyncProperty(
      request,
      fc.constantFrom(...compressionLevels),
      fc.boolean(),
      fc.constantFrom(undefined, 1),
      async (value, level, asksUsage, indent) => {
        const recorded = JSON.stringify(value, undefined, indent)
        const told = recorded.replaceAll('Ada', '[PERSON_1]')
        const body = await compressed(told, level)
        const sending = { level, model: 'm', asksUsage, isChat: true }
        const sent = sentRecord({ told, recorded, mayKeep: true, body }, sending)
        const bytes = upstreamBody(parseChatRequest(body), 'm', asksUsage)
        expect((await sentBytes(recorded, sent, sending)).toString()).toBe(bytes)
      },
    ),
    { numRuns: 300 },
  )
})

test('other bytes never stand in for those that were sent', async () => {
  const recorded = JSON.stringify({
    model: 'm',
    messages: [{ role: 'user', content: 'Tell me the end of it.' }],
  })
  const sending = { level: 'high', model: 'm', asksUsage: true, isChat: true } as const
  const texts = { told: recorded, recorded, mayKeep: true, body: await compressed(recorded, 'high') }
  const sent = sentRecord(texts, sending)
  const changed = (facts: string, compression = sent.compression) =>
    sentBytes(recorded, { compression, facts }, sending)
  const facts = sent.facts ?? ''
  await expect(changed(facts, 'low/1')).rejects.toMatchObject({ code: 'content_unreadable' })
  await expect(changed(facts, 'high/99')).rejects.toMatchObject({ code: 'content_unreadable' })
  await expect(changed(facts, 'gzip')).rejects.toMatchObject({ code: 'content_unreadable' })
  await expect(changed('{}')).rejects.toMatchObject({ code: 'content_unreadable' })
  await expect(sentBytes(`${recorded} `, sent, sending)).rejects.toMatchObject({ code: 'content_unreadable' })
  const unknown = sentRecord({ ...texts, told: recorded.replace('me', 'you'), mayKeep: false }, sending)
  expect(unknown).toEqual({ compression: 'high/2', facts: undefined })
  await expect(sentBytes(recorded, unknown, sending)).rejects.toMatchObject({ code: 'content_not_kept' })
})
