import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { generateMasterKey } from '../../src/privacy/master-key.ts'
import { openSecret } from '../../src/store/secrets.ts'
import { startChild } from '../harness/children.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

export function secretsSuite(bed: Bed): void {
  test('a secret is made once and read again, each name its own', async () => {
    const database = await (await bed.place()).migrated()
    const master = generateMasterKey()
    const first = await openSecret(database, 'one', () => master)
    expect(first).toHaveLength(32)
    expect(await openSecret(database, 'one', () => master)).toEqual(first)
    expect(await openSecret(database, 'two', () => master)).not.toEqual(first)
  })

  test('many who open a new secret at once agree on it', async () => {
    const place = await bed.place()
    const databases = [await place.migrated(), place.database(), place.database()]
    const master = generateMasterKey()
    const secrets = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        openSecret(databases[index % 3] ?? place.database(), 'shared', () => master),
      ),
    )
    expect(new Set(secrets.map(secret => secret.toString('hex'))).size).toBe(1)
  })

  test('two processes that open a new store at once agree on its secret', async () => {
    const place = await bed.place()
    const children = [startChild('open-secret.ts', place), startChild('open-secret.ts', place)]
    for (const child of children) expect(await child.next()).toBe('ready')
    for (const child of children) child.tell('go')
    const [first, second] = await Promise.all(children.map(child => child.next()))
    expect(first).toBe(second)
  })

  test('another master key is refused and changes nothing', async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const hash = stele.hashes.chain('', 'message')
    await stele.close()
    await failure('master_key_mismatch', place.stele({ masterKey: randomBytes(32).toString('base64') }))
    expect((await place.stele()).hashes.chain('', 'message')).toBe(hash)
  })

  test('a wrapped secret that was put under another name is refused', async () => {
    const database = await (await bed.place()).migrated()
    const master = generateMasterKey()
    await openSecret(database, 'one', () => master)
    await sql`UPDATE secrets SET id = 'two'`.execute(database.kysely)
    await failure(
      'master_key_mismatch',
      openSecret(database, 'two', () => master),
    )
  })

  test('the secret itself is not in the database', async () => {
    const database = await (await bed.place()).migrated()
    const secret = await openSecret(database, 'one', () => generateMasterKey())
    const row = await database.kysely.selectFrom('secrets').select('wrapped_key').executeTakeFirstOrThrow()
    expect(Buffer.from(row.wrapped_key).includes(secret.subarray(0, 8))).toBe(false)
  })
}
