import fc from 'fast-check'
import { TypeID } from 'typeid-js'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type IdKind, idTime, isId, lowestIdAt, newId } from '../../src/ids.ts'

const kinds = Object.keys({
  apiKey: true,
  audit: true,
  auditQueue: true,
  cacheEntry: true,
  call: true,
  conversation: true,
  document: true,
  grant: true,
  instance: true,
  login: true,
  message: true,
  response: true,
  searchQueue: true,
  snapshot: true,
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
    expectRising(Array.from({ length: 50_000 }, () => newId('call')))
  })

  test('holds a UUIDv7 as RFC 9562 lays it out', () => {
    for (let round = 0; round < 1_000; round++) {
      const uuid = TypeID.fromString(newId('call')).toUUID()
      expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    }
  })

  describe('while the clock', () => {
    const now = Date.UTC(2400, 0, 1)

    afterEach(() => vi.useRealTimers())

    test('stands still is higher all the same, and not far ahead of it', () => {
      vi.useFakeTimers({ now })
      const ids = Array.from({ length: 10_000 }, () => newId('call'))
      expectRising(ids)
      expect(idTime(ids[0] ?? '')).toBe(now)
      expect(idTime(ids.at(-1) ?? '')).toBeLessThanOrEqual(now + 10)
    })

    test('is set back is higher all the same', () => {
      vi.useFakeTimers({ now: now + 1000 })
      const before = newId('call')
      vi.setSystemTime(now)
      expectRising([before, newId('call'), newId('call')])
    })

    test('was far ahead and is put right carries the right time again', () => {
      vi.useFakeTimers({ now: now + 86_400_000 })
      newId('call')
      vi.setSystemTime(now)
      const ids = Array.from({ length: 5_000 }, () => newId('call'))
      expectRising(ids)
      expect(idTime(ids[0] ?? '')).toBe(now)
    })
  })

  test('differs from every other in every digit that is left to chance', () => {
    const random = Array.from({ length: 2_000 }, () => newId('call').slice(-12))
    for (let digit = 0; digit < 12; digit++)
      expect(new Set(random.map(text => text[digit]))).toHaveProperty('size', 32)
    expect(new Set(random).size).toBe(random.length)
  })
})

function expectRising(ids: readonly string[]): void {
  expect(ids.every((id, index) => index === 0 || id > (ids[index - 1] ?? ''))).toBe(true)
}

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
