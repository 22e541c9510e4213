import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type IdKind, idTime, isId, lowestIdAt, newId } from '../../src/ids.ts'

const kinds = Object.keys({
  apiKey: true,
  audit: true,
  call: true,
  conversation: true,
  instance: true,
  message: true,
} satisfies Record<IdKind, true>) as IdKind[]

/** Times that fit the 48 bits of a UUIDv7. */
const time = fc.integer({ min: 0, max: 2 ** 48 - 2 })

describe('a new id', () => {
  test.for(kinds)('of a %s is well-formed, of its kind alone, and tells when it was made', kind => {
    const before = Date.now()
    const id = newId(kind)
    expect(isId(kind, id)).toBe(true)
    expect(kinds.filter(other => isId(other, id))).toEqual([kind])
    expect(idTime(id)).toBeGreaterThanOrEqual(before)
    expect(idTime(id)).toBeLessThanOrEqual(Date.now())
  })

  test('is higher than every one before it, as plain text', () => {
    const ids = Array.from({ length: 50_000 }, () => newId('call'))
    expect(ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? ''))).toBe(true)
  })
})

describe('the lowest id of a time', () => {
  test('is an id of that time', () => {
    fc.assert(
      fc.property(fc.constantFrom(...kinds), time, (kind, at) => {
        const lowest = lowestIdAt(kind, at)
        expect(isId(kind, lowest)).toBe(true)
        expect(idTime(lowest)).toBe(at)
      }),
    )
  })

  test('sorts as its time does', () => {
    fc.assert(
      fc.property(time, time, (one, other) => {
        const [low, high] = [lowestIdAt('call', one), lowestIdAt('call', other)]
        expect(Math.sign(one - other)).toBe(low < high ? -1 : low > high ? 1 : 0)
      }),
    )
  })

  test('is below every id made at that time, and the next one above', () => {
    for (let round = 0; round < 100; round++) {
      const id = newId('message')
      expect(lowestIdAt('message', idTime(id)) <= id).toBe(true)
      expect(lowestIdAt('message', idTime(id) + 1) > id).toBe(true)
    }
  })

  test('is the boundary that partitions are cut by', () => {
    expect(lowestIdAt('call', Date.UTC(2026, 0, 1))).toBe('call_01kdvdna000000000000000000')
  })
})

test.for([
  '',
  'call_',
  'conv_01h455vb4pex5vsknk084sn02q',
  'call_01H455VB4PEX5VSKNK084SN02Q',
  'call_81h455vb4pex5vsknk084sn02q',
  'call_01h455vb4pex5vsknk084sn02',
  'call_01h455vb4pex5vsknk084sn02qq',
  'call_01h455vb4pex5vsknk084sn0il',
  ' call_01h455vb4pex5vsknk084sn02q',
  'call_01h455vb4pex5vsknk084sn02q\n',
])('%j is no call id', text => {
  expect(isId('call', text)).toBe(false)
})
