import { expect, test } from 'vitest'
import { parseNote } from '../../src/audit/note.ts'
import { parseVkey } from '../../src/audit/note-keys.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

test('the public keys of the log are printed, and a new one signs from then on', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const run = (...args: string[]) => runStele(['audit', ...args], { place })
  const [first] = await stele.auditLog.keys()
  expect((await run('key')).stdout).toBe(`${first?.vkey}\n`)
  const rotated = await run('rotate-key')
  expect(rotated.code).toBe(0)
  const vkey = rotated.stdout.trim()
  expect(parseVkey(vkey).name).toBe(stele.auditLog.origin)
  expect((await run('key')).stdout).toBe(`${first?.vkey}\n${vkey}\n`)
  expect(await runJson(['audit', 'key'], { place })).toMatchObject([
    { id: first?.id, vkey: first?.vkey, retired_at: expect.any(String) as string },
    { vkey, retired_at: null },
  ])
  const newest = await stele.auditLog.latest()
  expect(parseNote(newest?.note ?? '').signatures).toHaveLength(1)
  const checkpoints = await stele.auditLog.checkpoints({ limit: 10 })
  expect(parseNote(checkpoints[0]?.note ?? '').signatures.map(({ keyId }) => keyId)).toContain(
    parseVkey(vkey).id,
  )
  const [event] = await stele.auditEvents.list({ action: 'audit.key_rotated', limit: 1 })
  expect(event?.actor).toMatch(/^operator/)
})
