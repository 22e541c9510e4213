import { describe, expect, test } from 'vitest'
import { EventRestorer, maskedEvents } from '../../src/privacy/masking/event-stream.ts'
import { type Analyzer, Masker } from '../../src/privacy/masking/masker.ts'
import { restoredText } from '../../src/privacy/masking/restorer.ts'
import { safePattern } from '../../src/privacy/masking/safe-pattern.ts'

const options = { phoneRegion: 'US', patterns: [safePattern('PIN', 'P\\d{1,3}')] } as const
const card = '4111111111111111'

const toolCall = (given: string) =>
  JSON.stringify({ messages: [{ role: 'assistant', tool_calls: [{ function: { arguments: given } }] }] })

const argumentsIn = (body: string): string =>
  (JSON.parse(body) as { messages: { tool_calls: { function: { arguments: string } }[] }[] }).messages[0]
    ?.tool_calls[0]?.function.arguments ?? ''

const chunk = (choices: readonly object[], more: object = {}): string =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', model: 'm', choices, ...more })}\n\n`

describe('numbers in the arguments of tools', () => {
  test('are masked by what they are and by the names they go by', async () => {
    const given = `{"card":${card},"ssn": 123456789, "of":{"list":[1, ${card}]},"count":12,"at":-3.5e7}`
    const masked = argumentsIn(await new Masker(options).json(toolCall(given)))
    expect(masked).toBe(
      '{"card":"[CARD_1]","ssn": "[SSN_1]", "of":{"list":[1, "[CARD_1]"]},"count":12,"at":-3.5e7}',
    )
  })

  test('also in a stream that is stored', async () => {
    const pieces = [...`{"card":${card}}`].map((letter, at) =>
      chunk([{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: letter } }] } }], { at }),
    )
    const masked = await maskedEvents(Buffer.from(pieces.join('')), new Masker(options))
    expect(masked.toString()).not.toContain('"1"')
  })
})

describe('what an own pattern says is masked', () => {
  test('also where it is all that is said', async () => {
    expect(await new Masker(options).json('{"messages":[{"content":"P1"}]}')).toContain('"[PIN_1]"')
  })
})

describe('files in addresses', () => {
  test('are left alone; a text that begins like one is not', async () => {
    const image = 'data:image/png;base64,AKIAIOSFODNN7EXAMPLE+/aGk='
    const body = (url: string) => JSON.stringify({ messages: [{ content: [{ image_url: { url } }] }] })
    expect(await new Masker(options).json(body(image))).toBe(body(image))
    for (const text of ['data:text/plain;base64,no, I am ada@example.com', 'data: ;base64, ada@example.com'])
      expect(await new Masker(options).json(body(text))).not.toContain('ada@')
  })
})

describe('an analyzer', () => {
  const findGrace: Analyzer = async texts =>
    texts.map(text => {
      const at = text.indexOf('Grace')
      return at === -1 ? [] : [{ kind: 'PERSON', start: at, end: at + 5 }]
    })

  test('is asked for each value in the arguments of tools', async () => {
    const masked = await new Masker(options, findGrace).json(toolCall('{"to":"Grace","Grace":"hi"}'))
    expect(argumentsIn(masked)).toBe('{"to":"[PERSON_1]","[PERSON_1]":"hi"}')
  })

  test('is asked for every text of a stream', async () => {
    const events = [0, 1].flatMap(index => [
      ...[...'Hi Grace'].map(content => chunk([{ index, delta: { content } }])),
      ...[...'{"to":"Grace"}'].map(letter =>
        chunk([{ index, delta: { tool_calls: [{ index: 0, function: { arguments: letter } }] } }]),
      ),
    ])
    const masked = (
      await maskedEvents(Buffer.from(events.join('')), new Masker(options, findGrace))
    ).toString()
    expect(masked.match(/\[PERSON_1\]/g)).toHaveLength(4)
    expect(masked).not.toMatch(/"(content|arguments)":"r"/)
  })

  test('that fails is never passed over', async () => {
    const failing: Analyzer = async () => Promise.reject(new Error('it is down'))
    const masker = new Masker(options, failing)
    const events = Buffer.from(chunk([{ index: 0, delta: { content: 'Grace' } }]))
    await expect(masker.text('Grace')).rejects.toThrow('it is down')
    await expect(masker.edits('Grace')).rejects.toThrow('it is down')
    await expect(masker.edits('{"a":"Grace"}', { isJson: true })).rejects.toThrow('it is down')
    await expect(maskedEvents(events, masker)).rejects.toThrow('it is down')
  })
})

describe('what events of a stream say beside their pieces', () => {
  const said = (mail: string) => [
    chunk([{ index: 0, delta: { content: 'Hi' }, message: { role: 'assistant', content: `Hi ${mail}` } }]),
    chunk([{ index: 0, delta: { content: '!' }, finish_reason: 'stop' }], { citations: [`by ${mail}`] }),
    `data: ["${mail}"]\n\n`,
    'data: [DONE]\n\n',
  ]

  test('comes with the values in it', async () => {
    const masker = new Masker(options)
    await masker.text('ada@example.com')
    const restorer = new EventRestorer(masker.placeholders, { saysJson: false })
    const told = Buffer.concat([restorer.push(Buffer.from(said('[EMAIL_1]').join(''))), restorer.end()])
    expect(told.toString()).toBe(said('ada@example.com').join(''))
  })

  test('is stored without them', async () => {
    const stored = await maskedEvents(Buffer.from(said('ada@example.com').join('')), new Masker(options))
    expect(stored.toString()).toBe(said('[EMAIL_1]').join(''))
  })
})

test('a text of nothing but brackets is put back in no time', async () => {
  const masker = new Masker(options)
  await masker.text('ada@example.com')
  const started = process.threadCpuUsage().user
  const text = `[EMAIL_1]${'['.repeat(700_000)}${'[EMAIL_'.repeat(50_000)}`
  expect(restoredText(text, masker.placeholders)).toBe(text.replace('[EMAIL_1]', 'ada@example.com'))
  expect(process.threadCpuUsage().user - started).toBeLessThan(1_000_000)
})
