import { randomBytes } from 'node:crypto'
import { deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { encodeCompressed, encodeContent } from '../../src/privacy/content.ts'
import { dataKey } from '../../src/privacy/data-key.ts'
import { pack } from '../../src/privacy/pack.ts'
import { sealContent } from '../../src/privacy/sealed-content.ts'
import { Markers } from './markers.ts'
import { BytesSearch } from './search-bytes.ts'

/** The search of the other tests finds what it is there to find. */

const markers = new Markers()
const search = new BytesSearch(markers)
const around = (bytes: Buffer): Buffer => Buffer.concat([randomBytes(777), bytes, randomBytes(1_001)])
const swapped = (bytes: Buffer): Buffer => Buffer.from(bytes).swap16()

const spell: Record<string, (text: string) => Buffer> = {
  raw: text => Buffer.from(text),
  JSON: text => Buffer.from(JSON.stringify(JSON.stringify({ text }))),
  'UTF-16LE': text => Buffer.from(text, 'utf16le'),
  'UTF-16BE': text => swapped(Buffer.from(text, 'utf16le')),
  'upper case': text => Buffer.from(text.toUpperCase()),
  hex: text => Buffer.from(Buffer.from(text).toString('hex')),
  HEX: text => Buffer.from(Buffer.from(text).toString('hex').toUpperCase()),
  'URL-encoded': text => Buffer.from(encodeURIComponent(text)),
  'all percent': text => Buffer.from(Buffer.from(text).toString('hex').replace(/../g, '%$&')),
  'all escaped': text => Buffer.from(Buffer.from(text).toString('hex').replace(/../g, '\\u00$&')),
  'base64 +0': text => Buffer.from(Buffer.from(text).toString('base64')),
  'base64 +1': text => Buffer.from(Buffer.from(`x${text}`).toString('base64')),
  'base64 +2': text => Buffer.from(Buffer.from(`xy${text}`).toString('base64url')),
  zlib: text => deflateSync(text),
  gzip: text => gzipSync(text),
  zstd: text => zstdCompressSync(text.repeat(20)),
}

test.for(Object.keys(spell))('a marker is found and known again: %s', how => {
  const text = markers.text('encrypted', `spelled ${how}`)
  const bytes = around(spell[how]?.(text) ?? Buffer.alloc(0))
  const found = search.inFile('here', bytes)
  expect(found.length).toBeGreaterThan(0)
  for (const one of found) expect(one).toMatchObject({ kind: 'encrypted', said: `spelled ${how}` })
})

test.for([0, 1, 2])(
  'in base64 %i bytes into a group a marker is known by what stands before it alone',
  shift => {
    const text = markers.text('plain', 'cut off')
    const end = text.indexOf(markers.stem) + markers.stem.length
    const before = `${'xyz'.repeat(20)}${'x'.repeat(shift)}`
    for (const encoding of ['base64', 'base64url'] as const) {
      const encoded = Buffer.from(before + text.slice(0, end)).toString(encoding)
      const cut = Buffer.from(`data:image/png;base64,${encoded}`)
      expect(search.inFile('here', Buffer.concat([cut, Buffer.alloc(64)]))).toMatchObject([
        { kind: 'plain', said: 'cut off' },
      ])
    }
  },
)

test('a marker is found wherever it is cut', () => {
  const marker = markers.make('encrypted', 'cut')
  for (let start = 0; start + 20 <= marker.length; start++)
    expect(search.inFile('here', Buffer.from(marker.slice(start, start + 20)))).not.toEqual([])
})

test('in a value of a row it is found in every form in which content is stored readable, and in none other', async () => {
  const said = Buffer.from(markers.long('plain', 'a value'))
  const key = dataKey('ada', randomBytes(32))
  const place = { userId: 'ada', table: 'messages', column: 'content', row: ['conv', 'ada', 1] }
  const forms = [encodeContent(said), await encodeCompressed(said)]
  const readable = [
    ...forms,
    ...forms.map(form => sealContent(key, 'plain', place, form)),
    deflateRawSync(said),
    Buffer.concat([Buffer.of(5), pack(said)]),
  ]
  for (const [index, value] of readable.entries())
    expect(search.inValues(String(index), [value]), String(index)).not.toEqual([])
  for (const mode of ['encrypted', 'hashed'] as const)
    for (const form of forms) expect(search.inValues(mode, [sealContent(key, mode, place, form)])).toEqual([])
})

test('a key is found in its bytes and in text', () => {
  const secret = randomBytes(32)
  const knowing = new BytesSearch(markers)
  knowing.addSecret('the key', secret)
  for (const encoding of ['hex', 'base64', 'base64url'] as const)
    expect(knowing.inFile('here', around(Buffer.from(secret.toString(encoding))))).toMatchObject([
      { kind: 'secret', said: 'the key' },
    ])
  expect(knowing.inFile('here', around(secret))).toHaveLength(1)
  expect(knowing.inFile('here', around(randomBytes(32)))).toEqual([])
})
