import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { exchange, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { runStele } from './run-stele.ts'

describeEachDatabase('what cannot be put on record', bed => {
  test('is not done, unless the operator says so', async () => {
    const place = await bed.place()
    const stele = await place.stele({ audit: { sequence: false } })
    const { call } = await exchange(stele, [user('her words')], 'answer')
    const show = (...more: string[]) =>
      runStele(['calls', 'show', call.callId, '--request', ...more], { place })
    expect((await show()).stdout).toContain('her words')
    // Nothing can be added to the queue any more, as on a disk that is full.
    await stele.auditLog.sequence()
    await sql`ALTER TABLE audit_queue ADD COLUMN room INTEGER NOT NULL DEFAULT 0 CHECK (room > 0)`.execute(
      stele.database.kysely,
    )
    const refused = await show()
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).not.toContain('her words')
    const rescued = await show('--unrecorded')
    expect(rescued.code).toBe(0)
    expect(rescued.stdout).toContain('her words')
    expect(rescued.stderr).not.toBe('')
  })
})
