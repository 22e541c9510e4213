import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeContent, decodeText, encodeCompressed, encodeContent } from '../../src/privacy/content.ts'
import { failure } from '../harness/errors.ts'

test('text comes back as it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), text => {
      expect(decodeText(encodeContent(text))).toBe(text)
    }),
  )
})

test('bytes come back as they were, compressed or not', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 6_000 }), async bytes => {
      expect(Buffer.compare(decodeContent(encodeContent(bytes)), bytes)).toBe(0)
      expect(Buffer.compare(decodeContent(await encodeCompressed(bytes)), bytes)).toBe(0)
    }),
  )
})

test('what repeats is stored smaller, what is short is left alone', async () => {
  const stream = Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'.repeat(1_000))
  expect((await encodeCompressed(stream)).byteLength).toBeLessThan(stream.byteLength / 10)
  expect(await encodeCompressed(Buffer.from('short'))).toEqual(encodeContent(Buffer.from('short')))
})

test('a value in a larger buffer is read as itself alone', () => {
  const stored = encodeContent('middle')
  const larger = Buffer.concat([Buffer.from('before'), stored, Buffer.from('after')])
  expect(decodeText(larger.subarray(6, 6 + stored.byteLength))).toBe('middle')
})

test.for<[string, Uint8Array]>([
  ['nothing at all', new Uint8Array(0)],
  ['an unknown form', Uint8Array.of(0xff, 1, 2)],
  ['a broken compression', Uint8Array.of(0x02, 1, 2, 3)],
])('%s is unreadable, and says so', async ([, stored]) => {
  await failure('content_unreadable', () => decodeContent(stored))
})

test('what was stored once stays readable: the forms are fixed', () => {
  expect(decodeText(Buffer.from('0161', 'hex'))).toBe('a')
  expect(decodeText(Buffer.from('0228b52ffd200109000061', 'hex'))).toBe('a')
})
