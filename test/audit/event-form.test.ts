import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  canonicalEvent,
  commitContent,
  commitEvent,
  type EventFacts,
  logEntry,
} from '../../src/audit/event-form.ts'
import { canonicalJson } from '../../src/model/canonical.ts'
import { text } from '../property/arbitrary-json.ts'

const event: EventFacts = {
  user_id: 'anna',
  id: 'evt_01k9sp8sx8e9pvy0n0x9a7yt4b',
  actor: 'operator:root',
  action: 'user.erased',
  category: 'security',
  severity: 'info',
  target: 'anna',
  outcome: 'success',
  details: '{"conversations":3}',
  commitment: null,
  created_at: 1_763_800_000_000,
}

test('the canonical form of an event is this', () => {
  expect(canonicalEvent(event)).toBe(
    '{"action":"user.erased","actor":"operator:root","category":"security","commitment":null,"created_at":1763800000000,"details":"{\\"conversations\\":3}","id":"evt_01k9sp8sx8e9pvy0n0x9a7yt4b","outcome":"success","severity":"info","target":"anna","user_id":"anna","v":1}',
  )
  expect(canonicalEvent({ ...event, commitment: Buffer.of(0xab, 1) })).toContain('"commitment":"ab01"')
})

test('the canonical form is RFC 8785 whatever an event says', () => {
  const facts = fc.record({
    ...Object.fromEntries(
      (['user_id', 'id', 'actor', 'action', 'category', 'severity', 'outcome'] as const).map(name => [
        name,
        text.map(words => words.toWellFormed()),
      ]),
    ),
    target: fc.option(text.map(words => words.toWellFormed())),
    details: fc.option(text.map(words => words.toWellFormed())),
    commitment: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 })),
    created_at: fc.maxSafeNat(),
  }) as fc.Arbitrary<EventFacts>
  fc.assert(
    fc.property(facts, chosen => {
      const commitment = chosen.commitment === null ? null : Buffer.from(chosen.commitment).toString('hex')
      expect(canonicalEvent(chosen)).toBe(canonicalJson({ ...chosen, commitment, v: 1 }))
    }),
  )
})

test('commitments are salted hashes of the text in UTF-8', () => {
  const salt = Buffer.alloc(16, 9)
  const words = 'Grüße, 世界 🌍'
  const digest = createHash('sha256').update(salt).update(words, 'utf8').digest('hex')
  expect(commitEvent(salt, words).toString('hex')).toBe(digest)
  expect(commitContent(salt, words).toString('hex')).toBe(digest)
})

test('an entry of the log is three lines', () => {
  expect(logEntry('evt_1', Buffer.alloc(32, 255)).toString()).toBe(
    'stele-audit/v1\nevt_1\n//////////////////////////////////////////8=\n',
  )
})
