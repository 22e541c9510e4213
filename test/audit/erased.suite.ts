import { createHash, createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { verifyLog } from '../../src/audit/verify/store.ts'
import { tableNames } from '../../src/db/tables.ts'
import { unwrapKey } from '../../src/privacy/master-key.ts'
import type { Stele } from '../../src/stele.ts'
import { operator } from '../../src/store/audit-events.ts'
import { secretPurpose } from '../../src/store/secrets.ts'
import { assistant, chatBody, completionBody, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { liveEverywhere, secretOf } from '../harness/lives.ts'
import { rowsOf, storedRowsOf } from '../harness/rows.ts'
import { verifyExport } from './verifier-from-page.ts'

/** Every value of the database: texts as they are, bytes as Latin-1. */
async function everyValue(stele: Stele): Promise<string> {
  const values: string[] = []
  for (const table of tableNames)
    for (const row of await storedRowsOf(stele.database, table))
      for (const value of Object.values(row) as (string | number | null | Uint8Array)[])
        values.push(value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : String(value))
  return values.join('\n')
}

/** Every secret that the master key opens, and every short value of bytes, which may be a salt. */
async function keysOf(stele: Stele): Promise<Buffer[]> {
  const { masters } = stele.database.contents
  const secrets = (await storedRowsOf(stele.database, 'secrets')).map(row =>
    Buffer.from(unwrapKey(masters.find(row.master_key_id), secretPurpose(row.id), row.wrapped_key)),
  )
  const salts: Buffer[] = []
  for (const table of tableNames)
    for (const row of await storedRowsOf(stele.database, table))
      for (const value of Object.values(row))
        if (value instanceof Uint8Array && value.length >= 8 && value.length <= 64)
          salts.push(Buffer.from(value))
  return [Buffer.alloc(0), ...secrets, ...salts]
}

/** What somebody would hash who guesses right. */
function guessesOf(said: readonly string[]): string[] {
  return said.flatMap(text => [
    text,
    `${text}\n`,
    JSON.stringify(text),
    JSON.stringify(user(text)),
    JSON.stringify({ content: text, role: 'user' }),
    JSON.stringify([user(text)]),
    chatBody([user(text)]),
    JSON.stringify(assistant(text)),
    completionBody(text),
    JSON.stringify({ word: text }),
    JSON.stringify({ about: text }),
  ])
}

/** Guesses of which some digest, with any key or salt there is, stands anywhere in the database. */
async function confirmed(stele: Stele, said: readonly string[]): Promise<string[]> {
  const values = await everyValue(stele)
  const keys = await keysOf(stele)
  const digests = (guess: string): Buffer[] => [
    ...['md5', 'sha1', 'sha256', 'sha512'].map(name => createHash(name).update(guess).digest()),
    ...keys.flatMap(key => [
      createHmac('sha256', key).update(guess).digest(),
      createHash('sha256').update(key).update(guess).digest(),
      createHash('sha256').update(guess).update(key).digest(),
    ]),
  ]
  // As much of a digest as hardly stands there by chance.
  const forms = (digest: Buffer): string[] => {
    const part = digest.subarray(0, 12)
    return [
      part.toString('latin1'),
      part.toString('hex'),
      part.toString('base64'),
      part.toString('base64url'),
    ]
  }
  return guessesOf(said).filter(guess =>
    digests(guess).some(digest => forms(digest).some(form => values.includes(form))),
  )
}

/** What the log keeps of somebody who was erased. */
export function erasedSuite(bed: Bed): void {
  test('after an erasure the log verifies, and nothing in the database confirms a right guess of what was said', async () => {
    const stele = await (await bed.place()).stele({ audit: { sequence: false } })
    await liveEverywhere(stele, 'ada')
    await stele.auditLog.sequence()
    const kept = (await stele.auditLog.latest())?.note ?? ''
    const secret = secretOf('ada')
    const said = [secret, ...['asked', 'told', 'appended', 'again', 'waits'].map(word => `${secret} ${word}`)]
    await stele.erase('ada')
    await stele.auditLog.sequence()

    expect(await verifyLog(stele.database, { checkpoints: [kept] })).toMatchObject({
      verified: true,
      pending: 0,
    })
    let exported = ''
    await stele.audit.export(async lines => {
      exported += lines
    })
    const keys = (await stele.auditLog.keys()).map(({ vkey }) => vkey)
    expect(verifyExport(Buffer.from(exported), keys, [kept]).events).toBeGreaterThan(3)
    for (const text of [
      exported,
      await everyValue(stele),
      JSON.stringify(await rowsOf(stele, 'audit_events')),
    ])
      expect(text).not.toContain(secret)
    expect(await confirmed(stele, said)).toEqual([])

    // The same attack finds a digest that somebody was careless enough to write down, salted with what is on record or not.
    const [salt = Buffer.alloc(0)] = (await keysOf(stele)).slice(-1)
    const careless = [
      createHash('sha256').update(secret).digest('hex'),
      createHash('sha256').update(salt).update(`${secret} told`).digest('base64'),
    ]
    for (const target of careless)
      await stele.auditEvents.add({ userId: 'ada', by: operator, action: 'app.test', target })
    expect(await confirmed(stele, said)).toEqual([secret, `${secret} told`])
  })
}
