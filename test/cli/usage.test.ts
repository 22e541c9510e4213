import { expect, test } from 'vitest'
import { begin, chatBody, settle, user } from '../harness/chat.ts'
import { describeEachDatabase, type Place, sqlitePlace } from '../harness/databases.ts'
import { outcomeOf } from '../harness/usage.ts'
import { runJson, runStele } from './run-stele.ts'

/** As a client may name a model. */
const large = 'large\u001b]0;x\u0007\u009b2J'
const formula = '=HYPERLINK("http://evil","x")'

async function filled(place: Place): Promise<void> {
  const stele = await place.stele()
  const calls = [
    { userId: 'ada', model: 'small', costNanousd: 2_000_000_000, createdAt: Date.UTC(2026, 0, 30, 12) },
    { userId: formula, model: 'small', costNanousd: 500_000_000, createdAt: Date.UTC(2026, 0, 31, 12) },
    { userId: 'ada', model: large, createdAt: Date.UTC(2026, 0, 31, 13) },
  ]
  for (const { userId, model, ...more } of calls) {
    const call = await begin(stele, chatBody([user('q')], { model }), { userId })
    await settle(stele, call, outcomeOf({ model, latencyMs: 100, ...more }))
  }
  await stele.close()
}

const days = ['--since', '2026-01-01', '--until', '2026-01-31']

describeEachDatabase('stele usage', bed => {
  test('prints tables, CSV that no spreadsheet computes, and JSON; and counts every call again', async () => {
    const place = await bed.place()
    await filled(place)
    const table = await runStele(['usage', '--by', 'user,model', ...days], { place })
    expect(table).toMatchObject({ code: 0, stderr: '' })
    expect(table.stdout.split('\n').map(line => line.split(/ {2,}/).slice(0, 3).join('|'))).toEqual([
      'USER|MODEL|CALLS',
      'ada|small|1',
      `${formula}|small|1`,
      'ada|large\\x1b]0;x\\x07\\x9b2J|1',
      'in all|3|0',
      '',
    ])
    const csv = await runStele(['usage', '--by', 'day,user', ...days, '--format', 'csv'], { place })
    const [head, ...rows] = csv.stdout.split('\r\n')
    expect(head).toMatch(/^day,user,calls,errors,error_rate,input_tokens,/)
    expect(rows.map(row => row.slice(0, 24))).toEqual([
      `2026-01-31,"'=HYPERLINK(`,
      '2026-01-31,ada,1,0,0,10,',
      '2026-01-30,ada,1,0,0,10,',
      '',
    ])
    expect(csv.stdout).toContain(`"'=HYPERLINK(""http://evil"",""x"")"`)
    // Whoever may name a model must not be obeyed by the terminal of whoever looks at it.
    const named = await runStele(['usage', '--by', 'model', ...days, '--format', 'csv'], { place })
    expect(named.stdout).toContain('\r\nlarge\\x1b]0;x\\x07\\x9b2J,1,')
    const report = await runJson<{ rows: unknown[]; total: unknown }>(
      ['usage', '--user', 'ada', ...days, '--format', 'json'],
      { place },
    )
    expect(report.rows).toMatchObject([{ day: '2026-01-31' }, { day: '2026-01-30' }])
    expect(report.total).toMatchObject({ calls: 2, unpriced_calls: 1, latency_ms: { average: 100 } })
    const top = await runStele(['usage', 'conversations', ...days, '--limit', '1'], { place })
    expect(top.stdout).toMatch(
      /^CONVERSATION +USER +CALLS +TOKENS +COST +UNPRICED\nconv_\w+ +ada +1 +15 +\$2.00 +0\n$/,
    )
    const last = await runStele(['usage', 'conversations', ...days, '--user', 'ada'], { place })
    expect(last.stdout).toMatch(/\nconv_\w+ +ada +1 +15 +- +1\n$/)

    const sound = await runStele(['doctor', '--usage'], { place })
    expect(sound).toMatchObject({ code: 0, stdout: '3 calls counted, 3 sums compared: all are right.\n' })
    const stele = await place.stele()
    await stele.database.kysely.updateTable('usage_daily').set({ calls: 9 }).execute()
    await stele.close()
    const ailing = await runStele(['doctor', '--usage'], { place })
    expect(ailing).toMatchObject({ code: 1 })
    expect(ailing.stdout).toMatch(/usage_daily +2026-01-30 +ada +small +calls +9 +1\n/)
    expect(await runStele(['doctor', '--repair'], { place })).toMatchObject({ code: 0 })
    expect(await runStele(['doctor', '--usage'], { place })).toMatchObject({ code: 0 })
  })
})

test.each([
  ['--by', 'words'],
  ['--since', 'yesterday'],
  ['--format', 'xml'],
])('%s %s is wrong usage', async (...given) => {
  const place = await sqlitePlace()
  expect(await runStele(['usage', ...given], { place })).toMatchObject({ code: 2 })
})
