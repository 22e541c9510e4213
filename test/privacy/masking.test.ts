import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { eventData, SseSplitter } from '../../src/model/sse.ts'
import { StreamedReply } from '../../src/model/stream-reply.ts'
import { findEntities } from '../../src/privacy/masking/detect.ts'
import { EventRestorer, maskedEvents } from '../../src/privacy/masking/event-stream.ts'
import { Masker } from '../../src/privacy/masking/masker.ts'
import { restoredJson, restoredText, TextRestorer } from '../../src/privacy/masking/restorer.ts'
import { safePattern } from '../../src/privacy/masking/safe-pattern.ts'

const options = { phoneRegion: 'US', patterns: [safePattern('STAFF', 'EMP-\\d{6}')] } as const
const newMasker = (): Masker => new Masker(options)

describe('what is found', () => {
  test.each([
    ['mail to ada+x@example.co.uk, please', 'EMAIL', 'ada+x@example.co.uk'],
    ['pay with 4111 1111 1111 1111 now', 'CARD', '4111 1111 1111 1111'],
    ['DE89 3704 0044 0532 0130 00 AND MORE', 'IBAN', 'DE89 3704 0044 0532 0130 00'],
    ['his ssn 123-45-6789.', 'SSN', '123-45-6789'],
    ['from 192.168.12.3 again', 'IP_ADDRESS', '192.168.12.3'],
    ['from 2001:db8::ff00:42:8329 again', 'IP_ADDRESS', '2001:db8::ff00:42:8329'],
    ['card 00:1B:44:11:3A:B7 is up', 'MAC_ADDRESS', '00:1B:44:11:3A:B7'],
    ['see ftp://u:secret@host.example/x.', 'URL', 'ftp://u:secret@host.example/x'],
    ['she was born on May 17, 1990 in', 'BIRTH_DATE', 'May 17, 1990'],
    ['my passport is X1234567 and', 'PASSPORT', 'X1234567'],
    [
      'at 742 Evergreen Terrace, Springfield, IL 62704',
      'ADDRESS',
      '742 Evergreen Terrace, Springfield, IL 62704',
    ],
    ['wohnt Hauptstraße 12, 10115 Berlin', 'ADDRESS', 'Hauptstraße 12, 10115 Berlin'],
    ['ring (415) 555-2671 today', 'PHONE', '(415) 555-2671'],
    ['Phone: 030 1234567', 'PHONE', '030 1234567'],
    ['call +44 20 7946 0958', 'PHONE', '+44 20 7946 0958'],
    ['cpf 529.982.247-25', 'NATIONAL_ID', '529.982.247-25'],
    ['NINO AB 12 34 56 C', 'NATIONAL_ID', 'AB 12 34 56 C'],
    ['key AKIAIOSFODNN7EXAMPLE here', 'API_KEY', 'AKIAIOSFODNN7EXAMPLE'],
    ['api_key = "0a1b2c3d4e5f6a7b8c9d"', 'API_KEY', '0a1b2c3d4e5f6a7b8c9d'],
    [
      't eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_123',
      'JWT',
      'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_123',
    ],
    [
      '-----BEGIN PRIVATE KEY-----\nMIIEabcd\n-----END PRIVATE KEY-----\n',
      'PRIVATE_KEY',
      '-----BEGIN PRIVATE KEY-----\nMIIEabcd\n-----END PRIVATE KEY-----',
    ],
    [
      '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIGh6pV1\nand no end',
      'PRIVATE_KEY',
      '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIIGh6pV1',
    ],
    ['badge EMP-004217 of', 'STAFF', 'EMP-004217'],
    ['{"to":"\\nada@example.com"}', 'EMAIL', 'ada@example.com'],
  ])('%s', (text, kind, value) => {
    const found = findEntities(text, options).map(one => [one.kind, text.slice(one.start, one.end)])
    expect(found).toEqual([[kind, value]])
  })

  test.each([
    'version 1.2.3.4 and v10.0.0.1',
    'order 4111111111111112',
    'git@github.com:stele/stele.git and lodash@4.17.21',
    'std::vector<int> at 12:30:45, a::b',
    'paid $4,111.00 on 2024-01-02 10:00:00',
    'commit d41d8cd98f00b204e9800998ecf8427e of 123e4567-e89b-12d3-a456-426614174000',
    'the 2 best ways, 10 great reasons',
  ])('nothing in: %s', text => {
    expect(findEntities(text, options)).toEqual([])
  })
})

test('no text makes the detectors slow', () => {
  const pieces = [
    'eyJ',
    '-----BEGIN PRIVATE KEY-----',
    'a://a:',
    '@',
    'a@',
    'a.',
    '1 ',
    '1-',
    '+1 ',
    '(1)',
    '12 A ',
    ':a',
    'aa:',
    'AB12 ',
    'token=',
    'born ',
    'passport ',
    '[',
    '0-',
    '1.',
  ]
  for (const text of pieces.map(one => one.repeat(Math.floor(60_000 / one.length)))) {
    const before = process.threadCpuUsage().user
    findEntities(text, options)
    expect(process.threadCpuUsage().user - before, text.slice(0, 20)).toBeLessThan(1_500_000)
  }
})

/** Texts in which anything stands next to anything. */
const piece = fc.oneof(
  fc.constantFrom(
    'ada@example.com',
    'bob@example.org',
    '[EMAIL_1]',
    '[EMAIL_2]',
    '[TEXT_1]',
    '[PHONE_1]',
    '[EMAIL 1 not kept]',
    '[EMA',
    'IL_1]',
    '[',
    ']',
    '[[',
    '_1]',
    '4111 1111 1111 1111',
    '+44 20 7946 0958',
    '192.168.1.7',
    ' ',
    '\n',
    '\\',
    '"',
    '\\n',
    '{',
    'EMP-123456',
    '“é😀”',
    'born 1990-05-17',
  ),
  fc.string({ maxLength: 8, unit: 'binary' }),
)
const said = fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join('').toWellFormed())
const cuts = fc.infiniteStream(fc.integer({ min: 1, max: 5 }))

function* cut<T extends string | Uint8Array>(whole: T, sizes: Iterator<number>): Generator<T> {
  for (let at = 0; at < whole.length; ) {
    const size = sizes.next().value as number
    yield whole.slice(at, at + size) as T
    at += size
  }
}

describe('masking and restoring', () => {
  test('gives any text back, however its placeholders are cut', async () => {
    await fc.assert(
      fc.asyncProperty(said, cuts, async (text, sizes) => {
        const masker = newMasker()
        const masked = await masker.text(text)
        expect(masked).not.toContain('ada@example.com')
        const restorer = new TextRestorer(masker.placeholders, 'plain')
        let told = ''
        for (const one of cut(masked, sizes)) told += restorer.push(one)
        expect(told + restorer.end()).toBe(text)
      }),
      { numRuns: 500 },
    )
  })

  test('gives any request back, and the same meaning of the arguments of tools', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(said, { maxLength: 4 }), said, said, async (texts, name, argument) => {
        const body = {
          model: 'm',
          messages: [
            ...texts.map(content => ({ role: 'user', content })),
            {
              role: 'assistant',
              tool_calls: [
                {
                  id: 'c',
                  type: 'function',
                  function: { name: 'f', arguments: JSON.stringify({ [name]: argument }) },
                },
              ],
            },
          ],
        }
        const masker = newMasker()
        const masked = await masker.json(JSON.stringify(body))
        expect(masked).not.toContain('ada@example.com')
        const restored = JSON.parse(
          restoredJson(masked, masker.placeholders, { saysJson: false }),
        ) as typeof body
        expect(restored).toEqual(body)
      }),
      { numRuns: 200 },
    )
  })

  test('gives any stream back, however its events and its bytes are cut, and passes what needs nothing as it is', async () => {
    await fc.assert(
      fc.asyncProperty(said, said, cuts, fc.boolean(), async (text, argument, sizes, hasFinish) => {
        const masker = newMasker()
        const content = await masker.text(text)
        const called = await masker.edits(JSON.stringify({ a: argument }), { isJson: true })
        const args = called.reduceRight(
          (all, { start, end, text: one }) => all.slice(0, start) + one + all.slice(end),
          JSON.stringify({ a: argument }),
        )
        const chunk = (delta: object, finish: string | null = null) =>
          `data: ${JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
        const events = [
          chunk({ role: 'assistant', content: '' }),
          ...[...cut(content, sizes)].map(one => chunk({ content: one })),
          ...[...cut(args, sizes)].map(one =>
            chunk({ tool_calls: [{ index: 0, function: { arguments: one } }] }),
          ),
          ...(hasFinish ? [chunk({}, 'stop'), 'data: [DONE]\n\n'] : []),
        ]
        const restorer = new EventRestorer(masker.placeholders, { saysJson: false })
        const told: Buffer[] = []
        for (const bytes of cut(Buffer.from(events.join('')), sizes)) told.push(restorer.push(bytes))
        told.push(restorer.end())
        const reply = streamed(Buffer.concat(told))
        expect(reply?.content ?? '').toBe(text)
        const [call] = (reply?.tool_calls ?? []) as { function: { arguments: string } }[]
        expect(JSON.parse(call?.function.arguments ?? 'null')).toEqual({ a: argument })
        if (masker.placeholders.size === 0) expect(Buffer.concat(told).toString()).toBe(events.join(''))
      }),
      { numRuns: 200 },
    )
  })

  test('numbers values as they appear, so a history that is sent again gets the same placeholders', async () => {
    const turn = (count: number) =>
      JSON.stringify({
        messages: ['a@x.com', 'b@x.com and a@x.com', 'c@x.com'].slice(0, count),
        user: 'u@x.com',
      })
    const masked = await Promise.all([1, 2, 3].map(count => newMasker().json(turn(count))))
    expect(masked.map(text => (JSON.parse(text) as { messages: string[] }).messages)).toEqual([
      ['[EMAIL_2]'],
      ['[EMAIL_2]', '[EMAIL_3] and [EMAIL_2]'],
      ['[EMAIL_2]', '[EMAIL_3] and [EMAIL_2]', '[EMAIL_4]'],
    ])
  })

  test('leaves what is not said, and every byte around what is masked', async () => {
    const body =
      '{ "model":"a@x.com", "n":12345678901234567890, "messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AKIAIOSFODNN7EXAMPLE"}},{"type":"text","text":"\\u0061@x.com"}]}] }'
    expect(await newMasker().json(body)).toBe(body.replace('"\\u0061@x.com"', '"[EMAIL_1]"'))
  })

  test('what is asked for as JSON stays JSON', async () => {
    const masker = newMasker()
    const key = '-----BEGIN PRIVATE KEY-----\nMIIEabcd\n-----END PRIVATE KEY-----'
    expect(await masker.text(key)).toBe('[PRIVATE_KEY_1]')
    const reply = { choices: [{ message: { content: '{"key":"[PRIVATE_KEY_1]"}' } }] }
    const told = JSON.parse(
      restoredJson(JSON.stringify(reply), masker.placeholders, { saysJson: true }),
    ) as typeof reply
    expect(JSON.parse(told.choices[0]?.message.content ?? '')).toEqual({ key })
  })

  test('placeholders of what was recorded masked are not given out again, and told as what they are', async () => {
    const masker = newMasker()
    masker.placeholders.adopt('{"content":"[EMAIL_7] said hello to [EMAIL_2]"}')
    expect(await masker.text('new@x.com wrote [EMAIL_7]')).toBe('[EMAIL_8] wrote [EMAIL_7]')
    const told = restoredText('[EMAIL_8] wrote [EMAIL_7]', masker.placeholders)
    expect(told).toBe('new@x.com wrote [EMAIL 7 not kept]')
    expect(await masker.text(told)).toBe('[EMAIL_8] wrote [EMAIL_7]')
  })

  test('a recorded stream is masked though its pieces tell nothing by themselves', async () => {
    const chunk = (delta: object, finish: string | null = null) =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta, logprobs: { content: [{ token: 'ada' }] }, finish_reason: finish }] })}\n\n`
    const events = [...'Write to ada@example.com!'].map(letter => chunk({ content: letter }))
    const transcript = Buffer.from([...events, chunk({}, 'stop'), 'data: [DONE]\n\n'].join(''))
    const masked = await maskedEvents(transcript, newMasker())
    expect(streamed(masked)?.content).toBe('Write to [EMAIL_1]!')
    expect(masked.toString()).not.toContain('ada')
  })
})

function streamed(transcript: Buffer) {
  const splitter = new SseSplitter()
  const reply = new StreamedReply()
  for (const event of [...splitter.push(transcript), ...splitter.end()]) {
    const data = eventData(event)
    if (data !== undefined && data !== '[DONE]') reply.add(JSON.parse(data) as Record<string, unknown>)
  }
  return reply.choices()[0]?.message
}

describe("a user's own patterns", () => {
  test.each([
    '(a+)+b',
    '(a|a)*b',
    '(a|ab)*c',
    'a*a*a*b',
    '.*x.*y',
    '(?=x)y',
    '(a)\\1',
    '(?<!x)y',
    'a{1,1000}{1,1000}',
    '(\\w+\\s?)+$',
    'x*',
    '[',
  ])('%s is refused', source => {
    expect(() => safePattern('OWN', source)).toThrow(Error)
  })

  test.each([
    ['EMP-\\d{6}'],
    ['[A-Z]{2}-\\d+'],
    ['\\w+@corp'],
    ['(?:foo|bar){1,3}-\\d+'],
    ['\\bK\\d{4,9}\\b'],
    ['ä+x'],
  ])('%s is taken, and quick on any text', source => {
    const { pattern } = safePattern('OWN', source)
    for (const text of ['a', 'A', '1', 'foo', 'ä', ' ', 'EMP-'].map(one => one.repeat(30_000 / one.length))) {
      const started = performance.now()
      for (const _ of text.matchAll(pattern));
      expect(performance.now() - started).toBeLessThan(2_000)
    }
  })
})
