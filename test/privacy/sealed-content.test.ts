import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  absentContent,
  decodeContent,
  decodeText,
  encodeCompressed,
  encodeContent,
  isAbsent,
} from '../../src/privacy/content.ts'
import { dataKey } from '../../src/privacy/data-key.ts'
import {
  type ContentPlace,
  contentModes,
  keyIdOf,
  openContent,
  sealContent,
} from '../../src/privacy/sealed-content.ts'
import { failure } from '../harness/errors.ts'

const key = dataKey('ada', randomBytes(32))
const place: ContentPlace = {
  userId: 'ada',
  table: 'messages',
  column: 'content',
  row: ['conv_01', 'ada', 7],
}
const open = (stored: Uint8Array, at = place, by = key) => openContent(by, at, stored, false)
const readable = ['encrypted', 'plain'] as const

test.for(readable)('%s content comes back as it was, whatever it is and however large', async mode => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 1, max: 100 }),
      async (bytes, times) => {
        const value = Buffer.concat(Array.from({ length: times }, () => bytes))
        for (const encoded of [encodeContent(value), await encodeCompressed(value)])
          expect(Buffer.compare(decodeContent(open(sealContent(key, mode, place, encoded))), value)).toBe(0)
      },
    ),
    { numRuns: 50 },
  )
})

test('encrypted content shows nothing of itself, and never the same twice', () => {
  const value = encodeContent('the secret word is heliotrope')
  const [one, other] = [
    sealContent(key, 'encrypted', place, value),
    sealContent(key, 'encrypted', place, value),
  ]
  expect(Buffer.from(one).includes('heliotrope')).toBe(false)
  expect(one).not.toEqual(other)
  expect(Buffer.from(sealContent(key, 'plain', place, value)).includes('heliotrope')).toBe(true)
})

test('no IV is used twice, however many values are sealed, in however many threads', async () => {
  const many = 1_300
  const module = new URL('../../src/privacy/', import.meta.url).href
  const workers = Array.from(
    { length: 3 },
    () =>
      new Worker(
        `const { parentPort } = require('node:worker_threads')
         void (async () => {
           const { sealContent } = await import('${module}sealed-content.ts')
           const { dataKey } = await import('${module}data-key.ts')
           const key = dataKey('ada', Buffer.alloc(32, 7))
           const place = { userId: 'ada', table: 'messages', column: 'content', row: ['c', 'ada', 1] }
           const ivs = []
           for (let n = 0; n < ${many}; n++)
             ivs.push(Buffer.from(sealContent(key, 'encrypted', place, Buffer.of(1, 65))).toString('hex', 17, 29))
           parentPort.postMessage(ivs)
         })()`,
        { eval: true },
      ),
  )
  const drawn = await Promise.all(workers.map(async worker => (await once(worker, 'message'))[0] as string[]))
  const own = Array.from({ length: many }, () =>
    Buffer.from(sealContent(key, 'encrypted', place, encodeContent('x'))).toString('hex', 17, 29),
  )
  expect(new Set([...drawn.flat(), ...own]).size).toBe(4 * many)
  await Promise.all(workers.map(worker => worker.terminate()))
})

test.for(contentModes)('%s: every change of a single byte is found, and every cut', async mode => {
  for (const text of [
    '',
    'abc',
    'x'.repeat(100),
    'A sentence that is long enough for it to be packed, and then some.',
  ]) {
    const stored = Buffer.from(sealContent(key, mode, place, encodeContent(text)))
    for (let at = 0; at < stored.byteLength; at++) {
      const changed = Buffer.from(stored)
      for (let value = 0; value < 256; value += at === 0 ? 1 : 85) {
        if (value === stored[at]) continue
        changed[at] = value
        await failure('content_unreadable', () => open(changed), `${text}: ${value} at ${at}`)
      }
      // A single byte says that nothing is kept, which removing the value says too.
      if (stored[0] !== 0x03)
        await failure('content_unreadable', () => open(stored.subarray(0, at)), `cut at ${at}`)
    }
    await failure('content_unreadable', () => open(Buffer.concat([stored, Buffer.of(0)])))
  }
})

test('any change at all is found', async () => {
  const stored = Buffer.from(sealContent(key, 'encrypted', place, encodeContent('what was said')))
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 2, maxLength: 120 }), async bytes => {
      fc.pre(Buffer.compare(bytes, stored) !== 0)
      await failure('content_unreadable', () => open(bytes))
    }),
  )
})

const elsewhere: [string, ContentPlace][] = [
  ['another user', { ...place, userId: 'bob' }],
  ['another table', { ...place, table: 'llm_requests' }],
  ['another column', { ...place, column: 'items' }],
  ['another row', { ...place, row: ['conv_01', 'ada', 8] }],
  ['a row whose key runs on alike', { ...place, row: ['conv_01ada', '', 7] }],
  ['a place that runs on alike', { ...place, table: 'message', column: 'scontent' }],
  ['a row with another number of parts', { ...place, row: ['conv_01', 'ada', 7, ''] }],
]

test.for(elsewhere)('a value moved to %s is refused in every mode', async ([, there]) => {
  for (const mode of contentModes) {
    const stored = sealContent(key, mode, place, encodeContent('mine'))
    await failure('content_unreadable', () => open(stored, there))
  }
})

test('the same place is told by what stands in it, not by kinds', () => {
  const stored = sealContent(key, 'encrypted', place, encodeContent('mine'))
  expect(decodeText(open(stored, { ...place, row: ['conv_01', 'ada', '7'] }))).toBe('mine')
})

test('a value names its key, and no other key opens it, not even one with the same name for another user', async () => {
  const bytes = randomBytes(32)
  const [own, others] = [dataKey('ada', Buffer.from(bytes)), dataKey('bob', Buffer.from(bytes))]
  expect(own.id).not.toBe(others.id)
  const stored = sealContent(own, 'encrypted', place, encodeContent('mine'))
  expect(keyIdOf(stored)).toBe(own.id)
  await failure('content_unreadable', () => open(stored))
  await failure('content_unreadable', () => open(stored, place, others))
  await failure('content_unreadable', () => openContent(undefined, place, stored, false))
})

test('a key that claims the commitment of another does not open what that one sealed', async () => {
  const own = dataKey('ada', randomBytes(32))
  const stored = sealContent(own, 'encrypted', place, encodeContent('mine'))
  const forged = { ...dataKey('ada', randomBytes(32)), id: own.id, commitment: own.commitment }
  await failure('content_unreadable', () => open(stored, place, forged))
})

test('unauthenticated content is refused, except in a database that has some from before', async () => {
  for (const old of [encodeContent('old'), await encodeCompressed(Buffer.alloc(5_000, 'old'))]) {
    await failure('content_unreadable', () => open(old))
    expect(openContent(undefined, place, old, true)).toEqual(old)
    expect(keyIdOf(old)).toBeUndefined()
  }
})

test('a digest stands for content that is not kept, and tells equal content of one user alone', () => {
  const value = encodeContent('the secret word is heliotrope')
  const digestOf = (by: typeof key, at: ContentPlace) =>
    Buffer.from(sealContent(by, 'hashed', at, value)).subarray(-32)
  const other = dataKey('ada', randomBytes(32))
  expect(isAbsent(open(sealContent(key, 'hashed', place, value)))).toBe(true)
  expect(digestOf(key, place)).toEqual(digestOf(key, { ...place, column: 'echo' }))
  expect(digestOf(key, place)).not.toEqual(digestOf(other, place))
})

test('what is not kept needs no key and stays what it is', () => {
  for (const mode of contentModes)
    expect(sealContent(key, mode, place, absentContent())).toEqual(absentContent())
  expect(isAbsent(openContent(undefined, place, absentContent(), false))).toBe(true)
})

test('JSON becomes smaller, and what does not is left as it is', () => {
  const message = `{"index":0,"message":{"role":"assistant","content":"the answer to the question"}}`
  const frame = `{"id":"chatcmpl-1","object":"chat.completion","choices":[${Array(4).fill(message).join(',')}]}`
  const size = (value: Uint8Array) => sealContent(key, 'encrypted', place, value).byteLength
  expect(size(encodeContent(frame))).toBeLessThan(frame.length)
  const noise = randomBytes(20_000)
  expect(size(encodeContent(noise))).toBe(noise.byteLength + 1 + 45)
  expect(size(encodeContent('word '.repeat(4_000)))).toBeLessThan(200)
})

test('what surrounds words is kept by phrases, whatever stands among them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...frames), fc.string({ maxLength: 8 })), { maxLength: 12 }),
      parts => {
        const text = parts.join('')
        expect(decodeText(open(sealContent(key, 'encrypted', place, encodeContent(text))))).toBe(text)
      },
    ),
  )
})

const frames = [
  '{"id":"chatcmpl-',
  ',"model":"',
  ',"total_tokens":',
  '{"model":"',
  '","messages":[]',
  ',\n  "model": "',
  '\u0001',
  '\u001f',
  'é',
]

test('what was sealed once stays readable: layout, dictionary and keys are fixed', () => {
  const fixed = dataKey('ada', Buffer.alloc(32, 7))
  for (const [hex, text] of sealedBefore)
    expect(decodeText(open(Buffer.from(hex, 'hex'), place, fixed))).toBe(text)
})

const sealedBefore: [string, string][] = [
  [
    '044b08da9cc34c9d49aa9e2f0c1fbc7eed8eed2065f8aa9e68b0fa6d26ce8421586dfb5b4ce66bf662b8c6ffb75a5cec1c4b9c',
    'short',
  ],
  [
    '044b08da9cc34c9d49aa9e2f0c1fbc7eed7a82e3f0b244ee3a31c28dc9faa6e4d38f9cdefa2801d7d07f00486d89cec2eb206f54afec43d8c98241955961f0ab913db257c1753476ac46cb05fe0754daf18ff2778dd79c3d30839fe22e64c7a7bc9fd126ea231f8f4717f0517cacaa81622c156bbf09c08fd965e910093a000adc3cb6a91fdd57',
    '{"role":"user","content":"Please explain the following code and write an example of it."}',
  ],
  ['064b08da9cc34c9d49aa9e2f0c1fbc7eed731d468a8af8cab902ab9babd324ab010173686f7274', 'short'],
  [
    '064b08da9cc34c9d49aa9e2f0c1fbc7eed90f0939f026ad5f7b968e116b3a0cebc017b22726f6c65223a2275736572222c22636f6e74656e74223a22506c65617365206578706c61696e2074686520666f6c6c6f77696e6720636f646520616e6420777269746520616e206578616d706c65206f662069742e227d',
    '{"role":"user","content":"Please explain the following code and write an example of it."}',
  ],
]

test('derived keys are as many as their purposes, and live with their key', () => {
  const exported = (by: typeof key, purpose: string) => by.derive(purpose).export().toString('hex')
  const again = dataKey('ada', Buffer.alloc(32, 7))
  expect(exported(again, 'search 1')).toBe(exported(dataKey('ada', Buffer.alloc(32, 7)), 'search 1'))
  const all = ['search 1', 'search 2'].map(purpose => exported(again, purpose))
  expect(new Set([...all, exported(key, 'search 1')]).size).toBe(3)
  expect(JSON.stringify(again)).not.toContain('07'.repeat(4))
})
