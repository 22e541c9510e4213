import fc from 'fast-check'
import { expect, test } from 'vitest'
import { derivedId, idTime, isId } from '../../src/ids.ts'
import type { LineOf } from '../../src/moving/export-format.ts'
import { chatGptItems } from '../../src/moving/foreign/chatgpt.ts'
import { FernetKey, isFernetToken } from '../../src/moving/foreign/fernet.ts'
import { ElementSplitter } from '../../src/moving/foreign/json-split.ts'
import { Origin } from '../../src/moving/foreign/source.ts'
import { microsecondsOf, nanousdOf } from '../../src/moving/foreign/values.ts'
import { ExportTree } from '../harness/chatgpt-export.ts'
import { fernetKey, fernetToken, oddTexts } from '../harness/foreign-rows.ts'
import { jsonValue } from './arbitrary-json.ts'

test('an amount in dollars is counted by its digits, whatever a float would make of it', () => {
  expect(
    [
      '0.1',
      '0.30000000000000004',
      '1e-7',
      '5E-10',
      '0.00000000049999999999999999999',
      '-2.5',
      '.5',
      '3.',
      '12',
      '1e3',
    ].map(nanousdOf),
  ).toEqual([
    100_000_000, 300_000_000, 100, 1, 0, -2_500_000_000, 500_000_000, 3_000_000_000, 12_000_000_000,
    1_000_000_000_000,
  ])
  for (const unknown of [null, undefined, '', 'free', 'NaN', 'Infinity', '1e999', '.', '99999999999', '0x10'])
    expect(nanousdOf(unknown)).toBeNull()
  fc.assert(
    fc.property(fc.bigInt(0n, 10n ** 15n), fc.nat(20), fc.boolean(), (digits, places, isScientific) => {
      const text = digits.toString().padStart(places + 1, '0')
      const plain = places === 0 ? text : `${text.slice(0, -places)}.${text.slice(-places)}`
      const scale = 10n ** BigInt(places)
      const exact = (digits * 10n ** 9n * 2n + scale) / (scale * 2n)
      const amount = nanousdOf(isScientific ? `${digits}e-${places}` : plain)
      expect(amount).toBe(exact <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(exact) : null)
    }),
  )
})

test('a time is the same however it is written', () => {
  fc.assert(
    fc.property(
      // Until 2255 microseconds fit a JavaScript number.
      fc.integer({ min: 0, max: 9_000_000_000_000 }),
      fc.integer({ min: 0, max: 999 }),
      fc.integer({ min: -14 * 60, max: 14 * 60 }),
      (time, micros, minutes) => {
        fc.pre(time + minutes * 60_000 >= 0)
        const expected = time * 1000 + micros
        const utc = `${new Date(time).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}`
        const local = `${new Date(time + minutes * 60_000).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}`
        const two = (number: number): string => String(Math.trunc(number)).padStart(2, '0')
        const zone = `${minutes < 0 ? '-' : '+'}${two(Math.abs(minutes) / 60)}:${two(Math.abs(minutes) % 60)}`
        for (const text of [
          utc,
          `${utc}Z`,
          utc.replace('T', ' '),
          `${utc.replace('T', ' ')}+00`,
          local + zone,
        ])
          expect(microsecondsOf(text), text).toBe(expected)
      },
    ),
  )
  expect(microsecondsOf('2024-02-03')).toBe(Date.UTC(2024, 1, 3) * 1000)
  expect(microsecondsOf(1_700_000_000.5)).toBe(1_700_000_000_500_000)
  expect(microsecondsOf('1700000000500')).toBe(1_700_000_000_500_000)
  for (const none of ['', 'now', '2024-02-31', '2024-01-01 25:00:00', '1969-12-31', '-1', null])
    expect(microsecondsOf(none), String(none)).toBeUndefined()
})

test('an id that is derived is well-formed, always the same, and sorts by its time', () => {
  const digest = fc.uint8Array({ minLength: 10, maxLength: 32 })
  fc.assert(
    fc.property(fc.nat(2 ** 41), fc.nat(2 ** 41), digest, digest, (a, b, one, two) => {
      const first = derivedId('message', a, one)
      expect(isId('message', first)).toBe(true)
      expect(idTime(first)).toBe(a)
      expect(derivedId('message', a, one)).toBe(first)
      if (a !== b) expect(first < derivedId('message', b, two)).toBe(a < b)
    }),
  )
})

test('every node of a tree has one place, and every way through it is a history', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(), { maxLength: 30 }),
      fc.nat(),
      fc.nat(8),
      async (picks, shown, empty) => {
        const tree = new ExportTree()
        const ids = ['client-created-root']
        // Some nodes say nothing, and have no place.
        for (const [index, pick] of picks.entries())
          ids.push(
            tree.add(`n${index}`, ids[pick % ids.length] ?? '', {
              content: index % 9 === empty ? null : undefined,
            }),
          )
        const said = ids.slice(1).filter(id => tree.mapping[id]?.message !== null && !isSilent(tree, id))
        const notes: string[] = []
        const origin = new Origin('chatgpt', {}, what => notes.push(what))
        const current = ids[shown % ids.length] ?? ''
        const conversations = new Map<string, LineOf<'conversation'>>()
        const messages = new Map<string, LineOf<'message'>[]>()
        for await (const { records } of chatGptItems(origin, 'ada', tree.conversation('c', current))) {
          for (const record of records) {
            if (record.type === 'conversation') {
              if (record.parent_id !== null) expect(conversations.has(record.parent_id)).toBe(true)
              conversations.set(record.id, record)
            } else if (record.type === 'message')
              messages.set(record.conversation_id, [...(messages.get(record.conversation_id) ?? []), record])
          }
        }
        const history = (id: string, upTo: number): string[] => {
          const line = conversations.get(id)
          const own = (messages.get(id) ?? []).filter(({ seq }) => seq <= upTo)
          const before = line?.parent_id ? history(line.parent_id, Math.min(line.parent_seq ?? -1, upTo)) : []
          return [
            ...before,
            ...own.map(({ message }) => (JSON.parse(message ?? '') as { content: string }).content),
          ]
        }
        const all = [...messages.values()].flat()
        expect(
          all.map(({ message }) => (JSON.parse(message ?? '') as { content: string }).content).sort(),
        ).toEqual([...said].sort())
        expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
        for (const [id, own] of messages) {
          const last = own.at(-1)
          const way: string[] = []
          const content =
            last === undefined ? '' : (JSON.parse(last.message ?? '') as { content: string }).content
          for (let at: string | null = content; at !== null; at = tree.mapping[at]?.parent ?? null)
            if (said.includes(at)) way.unshift(at)
          expect(history(id, last?.seq ?? -1)).toEqual(way)
          expect(history(id, last?.seq ?? -1).length).toBe((last?.seq ?? -1) + 1)
        }
        expect(
          [...conversations.values()].filter(({ session_id }) => session_id === 'c').length,
        ).toBeLessThanOrEqual(1)
      },
    ),
    { numRuns: 200 },
  )
})

function isSilent(tree: ExportTree, id: string): boolean {
  const message = tree.mapping[id]?.message as { content: unknown } | null | undefined
  return message?.content === null
}

test('a text is cut into its elements wherever its pieces end, up to its damage', () => {
  const pieces = (text: string, sizes: readonly number[]): string[] => {
    const cut: string[] = []
    for (let at = 0, index = 0; at < text.length; index++) {
      const size = (sizes[index % sizes.length] ?? 0) + 1
      cut.push(text.slice(at, at + size))
      at += size
    }
    return cut
  }
  const read = (text: string, sizes: readonly number[]): { entries: unknown[]; isWhole: boolean } => {
    const entries: unknown[] = []
    const splitter = new ElementSplitter()
    try {
      for (const piece of pieces(text, sizes)) for (const entry of splitter.push(piece)) entries.push(entry)
      splitter.finish()
      return { entries, isWhole: true }
    } catch (error) {
      expect(error).toBeInstanceOf(SyntaxError)
      return { entries, isWhole: false }
    }
  }
  const sizes = fc.array(fc.nat(7), { minLength: 1 })
  fc.assert(
    fc.property(fc.array(jsonValue()), sizes, fc.boolean(), (values, cuts, isNamed) => {
      const value = isNamed ? Object.fromEntries(values.map((each, index) => [`k"${index}\\`, each])) : values
      const text = ` ${JSON.stringify(value, null, cuts.length % 3)}\n`
      const parsed = JSON.parse(text) as object
      const expected = isNamed ? Object.entries(parsed) : [...Object.values(parsed).entries()]
      expect(read(text, cuts)).toEqual({ entries: expected, isWhole: true })
      const damaged = text.trimEnd().slice(0, -1)
      const before = read(damaged, cuts)
      expect(before.isWhole).toBe(false)
      expect(before.entries).toEqual(expected.slice(0, before.entries.length))
      expect(before.entries.length).toBeGreaterThanOrEqual(expected.length - 1)
    }),
  )
  for (const bad of [
    '',
    'x',
    '1',
    '"a"',
    '[1,]',
    '[,1]',
    '{"a":1,}',
    '{"a"}',
    '[1}',
    '{"a":1]',
    '[1] 2',
    '[1][2]',
    '[1 2]',
    '{"a":1,,"b":2}',
  ])
    expect(read(bad, [2]).isWhole, bad).toBe(false)
})

test("a token opens with its key alone; Fernet's own example opens", () => {
  const key = new FernetKey('cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=')
  const token =
    'gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=='
  expect(isFernetToken(Buffer.from(token))).toBe(true)
  expect(key.open(Buffer.from(token))?.toString()).toBe('hello')
  const own = new FernetKey(fernetKey)
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ maxLength: 100 }), fc.constantFrom(...oddTexts, '\0\uD800')),
      fc.nat(),
      fc.nat(5),
      (text, place, bit) => {
        const sealed = fernetToken(text.toWellFormed())
        expect(isFernetToken(sealed)).toBe(true)
        expect(own.open(sealed)?.toString()).toBe(text.toWellFormed())
        expect(key.open(sealed)).toBeUndefined()
        const bytes = Buffer.from(sealed.toString('latin1'), 'base64url')
        bytes[place % bytes.length] = (bytes[place % bytes.length] ?? 0) ^ (1 << bit)
        expect(own.open(Buffer.from(bytes.toString('base64url')))).toBeUndefined()
      },
    ),
    { numRuns: 20 },
  )
  expect(isFernetToken(Buffer.from('plain text, however long it may be: '.repeat(10)))).toBe(false)
  for (const bad of ['', 'short', 'x'.repeat(44), `${fernetKey}AAAA`])
    expect(() => new FernetKey(`${bad}!`)).toThrow(RangeError)
})
