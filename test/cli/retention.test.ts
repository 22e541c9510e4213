import { expect, test } from 'vitest'
import type { PlacedCall } from '../../src/model/call.ts'
import { begin, chatBody, completed, completionBody, exchange, settle, user } from '../harness/chat.ts'
import { describeEachDatabase, type Place, sqlitePlace } from '../harness/databases.ts'
import { countOf } from '../harness/rows.ts'
import { runJson, runStele } from './run-stele.ts'

const day = 86_400_000

async function oldCall(place: Place): Promise<PlacedCall> {
  const stele = await place.stele()
  const createdAt = Date.now() - 40 * day
  const call = await begin(stele, chatBody([user('old')]), { createdAt })
  await settle(stele, call, completed(completionBody('a'), { createdAt }))
  await exchange(stele, [user('new')], 'b')
  await stele.close()
  return call
}

describeEachDatabase('stele retention', bed => {
  test('a dry run tells what would go, the run after it does exactly that, and the rest of the CLI goes on', async () => {
    const place = await bed.place()
    const { callId: id, conversationId } = await oldCall(place)
    const env = { STELE_RETENTION_CONTENT: '30' }
    const preview = await runJson<{ expired: unknown[] }>(['retention', 'run', '--dry-run'], { place, env })
    expect(preview).toMatchObject({ is_dry_run: true, dropped_months: [], reclaimed_bytes: 0 })
    expect(preview.expired).toMatchObject([
      { group: 'default', reason: 'content', kind: 'calls', rows: 1 },
      { group: 'default', reason: 'content', kind: 'messages', rows: 2 },
    ])
    const run = await runStele(['retention', 'run'], { place, env })
    expect(run).toMatchObject({ code: 0 })
    expect(run.stdout).toMatch(
      /^USERS +WHY +WHAT +ROWS +BYTES\ndefault +content +calls +1 +\d+\ndefault +content +messages +2 +\d+\n$/,
    )
    expect(run.stderr).toContain('That is gone.')

    const [shown, exact, conversation, doctor] = await Promise.all([
      runStele(['calls', 'show', id], { place }),
      runStele(['calls', 'show', id, '--request'], { place }),
      runStele(['conversations', 'show', conversationId], { place }),
      runStele(['doctor'], { place, env }),
    ])
    expect(shown).toMatchObject({ code: 0, stderr: '' })
    expect(shown.stdout).toContain('── content ──\n(not kept)\n')
    expect(exact).toMatchObject({
      code: 1,
      stderr: 'stele: What was said was not kept, or is not kept any longer.\n',
    })
    expect(conversation.stdout).toContain('(not kept)')
    expect(doctor).toMatchObject({ code: 0 })
    expect(doctor.stdout).toContain('content 30 d')
  })
})

test('periods of a user are set, shown, refused and unset', async () => {
  const place = await sqlitePlace()
  await (await place.stele()).close()
  const env = { STELE_RETENTION_METADATA: '365' }
  const set = await runJson(
    ['retention', 'set', '--user', 'ada', '--content', '7', '--metadata', 'forever'],
    { place },
  )
  expect(set).toMatchObject({ user_id: 'ada', content_days: 7, metadata_days: 0, inactive_days: null })
  const shown = await runStele(['retention', 'show'], { place, env })
  expect(shown.stdout).toMatch(
    /^USER +CONTENT +METADATA +INACTIVE +DELETED\n\(everybody\) +for ever +365 d +for ever +for ever\nada +7 d +for ever +as for everybody +-\n$/,
  )
  expect(await runJson(['retention', 'show', '--user', 'ada'], { place, env })).toMatchObject({
    everybody: { metadata_days: 365, content_days: null },
    users: [{ user_id: 'ada', content_days: 7 }],
  })
  const refused = await runStele(
    ['retention', 'set', '--user', 'ada', '--content', '30', '--metadata', '7'],
    { place },
  )
  expect(refused).toMatchObject({
    code: 1,
    stderr:
      'stele: These retention periods do not fit together: content would be kept for 30 days and its metadata for 7 days\n',
  })
  expect((await runStele(['retention', 'set', '--user', 'ada', '--content', '0'], { place })).code).toBe(2)
  expect((await runStele(['retention', 'unset', '--user', 'ada'], { place })).stderr).toContain('any longer')
  expect(await runJson(['retention', 'show'], { place })).toMatchObject({ users: [] })
})

test('--vacuum writes the file anew once nobody has it open', async () => {
  const place = await sqlitePlace()
  await oldCall(place)
  const env = { STELE_RETENTION_METADATA: '30' }
  const stele = await place.stele()
  await countOf(stele, 'messages')
  const busy = await runStele(['retention', 'run', '--vacuum'], { place, env })
  expect(busy.code).toBe(1)
  expect(busy.stderr).toMatch(/stele: Another process has the database .* open\. Stop it first\.\n$/)
  expect(await countOf(stele, 'messages')).toBe(2)
  await stele.close()
  const run = await runStele(['retention', 'run', '--vacuum'], { place, env })
  expect(run).toMatchObject({ code: 0, stderr: 'Nothing has expired.\nThe file is written anew.\n' })
  expect(await countOf(await place.stele(), 'messages')).toBe(2)
})
