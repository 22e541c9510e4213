import fc from 'fast-check'
import { expect, test } from 'vitest'
import { eventData, SseSplitter } from '../../src/model/sse.ts'

const line = fc.oneof(
  fc.constantFrom(
    '',
    ':',
    ': ping',
    'event: message',
    'id: 5',
    'data',
    'data:',
    'data:  two spaces',
    'retry: 10',
  ),
  fc.string({ unit: 'grapheme', maxLength: 12 }).map(text => `data: ${text.replaceAll(/[\r\n]/g, '')}`),
)

const wellFormed = fc
  .tuple(
    fc.constantFrom('\n', '\r\n', '\r'),
    fc.array(
      fc.array(
        line.filter(text => text !== ''),
        { minLength: 1, maxLength: 3 },
      ),
      { maxLength: 8 },
    ),
  )
  .map(([end, events]) => events.map(lines => lines.map(text => text + end).join('') + end))

function split(text: Buffer, cuts: readonly number[]): Buffer[] {
  const splitter = new SseSplitter()
  const at = [0, ...cuts.map(cut => cut % (text.length + 1)).sort((a, b) => a - b), text.length]
  const events = at.slice(1).flatMap((end, index) => splitter.push(text.subarray(at[index], end)))
  return [...events, ...splitter.end()]
}

test('wherever the bytes are cut, the events are the same and nothing is lost', () => {
  fc.assert(
    fc.property(wellFormed, fc.array(fc.nat(), { maxLength: 40 }), (events, cuts) => {
      expect(split(Buffer.from(events.join('')), cuts).map(String)).toEqual(events)
    }),
    { numRuns: 500 },
  )
})

test('any bytes at all come out as they went in', () => {
  const bytes = fc.array(fc.constantFrom(10, 13, 0x3a, 0x64, 0xf0, 0xff), { maxLength: 60 })
  fc.assert(
    fc.property(bytes, fc.array(fc.nat(), { maxLength: 20 }), (input, cuts) => {
      expect(Buffer.concat(split(Buffer.from(input), cuts))).toEqual(Buffer.from(input))
    }),
    { numRuns: 500 },
  )
})

test.each([
  ['data: a\n\n', 'a'],
  ['data:a\r\n\r\n', 'a'],
  ['data:  a\r\r', ' a'],
  ['data: a\ndata: b\n\n', 'a\nb'],
  ['id: 1\ndata\nevent: x\n\n', ''],
  [': data: a\n\n', undefined],
  ['database: a\n\n', undefined],
  ['\n', undefined],
])('the data of %j is %j', (event, data) => {
  expect(eventData(Buffer.from(event))).toBe(data)
})
