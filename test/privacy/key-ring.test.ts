import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { SteleError } from '../../src/errors.ts'
import { KeyRing, newKeyRow, rewrapped } from '../../src/privacy/key-ring.ts'
import { generateMasterKey, type MasterKey, wrapKey } from '../../src/privacy/master-key.ts'
import { failure } from '../harness/errors.ts'

const master = generateMasterKey()
const mastersOf = (...keys: readonly MasterKey[]) => ({
  find(id: string): MasterKey {
    const found = keys.find(key => key.id === id)
    if (found === undefined) throw new SteleError('master_key_mismatch')
    return found
  },
})

test('a key comes back from its row, and is held until it must be looked at again', () => {
  const ring = new KeyRing({ masters: mastersOf(master) })
  const row = newKeyRow('ada', master, 1)
  expect(ring.get('ada', row.id)).toBeUndefined()
  const key = ring.take(row)
  expect(key?.id).toBe(row.id)
  expect(ring.get('ada', row.id)).toBe(key)
  expect(ring.get('bob', row.id)).toBeUndefined()
  expect(ring.take(row)).toBe(key)
  const impatient = new KeyRing({ masters: mastersOf(master), trustedFor: -1 })
  impatient.take(row)
  expect(impatient.get('ada', row.id)).toBeUndefined()
})

test('a destroyed key is known as such, and one that was held is given up', () => {
  const ring = new KeyRing({ masters: mastersOf(master) })
  const row = newKeyRow('ada', master, 1)
  ring.take(row)
  expect(ring.take({ ...row, wrapped_key: null })).toBeUndefined()
  expect(ring.get('ada', row.id)).toBe('destroyed')
  ring.forget('ada')
  expect(ring.size).toBe(0)
})

test('forgetting a user forgets nobody whose name begins alike', () => {
  const ring = new KeyRing({ masters: mastersOf(master) })
  const rows = ['ada', 'ada2'].map(user => newKeyRow(user, master, 1))
  for (const row of rows) ring.take(row)
  ring.forget('ada')
  expect(rows.map(row => ring.get(row.user_id, row.id) !== undefined)).toEqual([false, true])
})

test('no more keys are held than there is room for: those used longest ago go', () => {
  const ring = new KeyRing({ masters: mastersOf(master), capacity: 2 })
  const rows = ['a', 'b', 'c'].map(user => newKeyRow(user, master, 1))
  for (const row of rows.slice(0, 2)) ring.take(row)
  ring.get('a', rows[0]?.id ?? '')
  for (const row of rows.slice(2)) ring.take(row)
  expect(rows.map(row => ring.get(row.user_id, row.id) !== undefined)).toEqual([true, false, true])
})

test('a wrapped key is bound to its user, its name and its master key', async () => {
  const row = newKeyRow('ada', master, 1)
  const other = newKeyRow('ada', master, 1)
  const ring = () => new KeyRing({ masters: mastersOf(master) })
  await failure('master_key_mismatch', () => ring().take({ ...row, user_id: 'bob' }))
  await failure('master_key_mismatch', () => ring().take({ ...row, id: other.id }))
  await failure('master_key_mismatch', () => ring().take({ ...row, wrapped_key: other.wrapped_key }))
  await failure('master_key_mismatch', () => new KeyRing({ masters: mastersOf() }).take(row))
})

test('a key that was wrapped under the name of another is refused, whoever has wrapped it', async () => {
  const { id } = newKeyRow('ada', master, 1)
  const wrapped_key = wrapKey(master, `data-key\0ada\0${id}`, randomBytes(32))
  const ring = new KeyRing({ masters: mastersOf(master) })
  const row = { user_id: 'ada', id, wrapped_key, master_key_id: master.id }
  await failure('content_unreadable', () => ring.take(row))
})

test('a key wrapped anew is the same key', () => {
  const next = generateMasterKey()
  const row = newKeyRow('ada', master, 1)
  const wrapped_key = rewrapped({ ...row, wrapped_key: row.wrapped_key ?? new Uint8Array() }, master, next)
  const ring = new KeyRing({ masters: mastersOf(next) })
  expect(ring.take({ ...row, wrapped_key, master_key_id: next.id })?.id).toBe(row.id)
})

test('what is printed of a ring or a key shows no key', () => {
  const ring = new KeyRing({ masters: mastersOf(master) })
  const key = ring.take(newKeyRow('ada', master, 1))
  const secret = key?.encryption.export().toString('hex') ?? ''
  const shown = `${inspect(ring, { depth: 9 })}${inspect(key, { depth: 9 })}${JSON.stringify(key)}`
  expect(shown).not.toContain(secret.slice(0, 8))
})
