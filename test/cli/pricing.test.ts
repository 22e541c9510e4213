import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { begin, chatBody, completed, completionBody, settle, user } from '../harness/chat.ts'
import { describeEachDatabase, type Place, sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

const reply = completionBody('Paris', {
  model: 'acme-1',
  usage: { prompt_tokens: 1_000, completion_tokens: 100, total_tokens: 1_100 },
})

/** Three calls: at an unknown price, at a known one, lost. Returns their ids. */
async function record(place: Place): Promise<string[]> {
  const stele = await place.stele()
  const ids: string[] = []
  for (const provider of ['acme', 'echo', 'acme']) {
    const call = await begin(stele, chatBody([user('q')], { model: 'acme-1' }), { provider })
    ids.push(call.callId)
    await settle(
      stele,
      call,
      ids.length < 3 ? completed(reply) : { status: 'failed', errorCode: 'provider_timeout' },
    )
  }
  await stele.close()
  return ids
}

/** A working directory whose configuration has a price for the model. */
async function withPrice(): Promise<string> {
  const cwd = await temporaryFolder()
  const prices = [{ model: 'acme-*', provider: 'acme', from: '2020-01-01', input: 2, output: 10 }]
  await writeFile(join(cwd, 'stele.config.json'), JSON.stringify({ prices }))
  return cwd
}

describeEachDatabase('stele usage', bed => {
  test('unpriced calls are listed, a dry run tells, and repricing gives them the cost of the new price', async () => {
    const place = await bed.place()
    const [id = '', echoed = '', lost = ''] = await record(place)
    const listed = await runStele(['usage', 'unpriced'], { place })
    expect(listed.code).toBe(0)
    expect(listed.stdout).toMatch(/^PROVIDER +MODEL +LACKS +CALLS +IN +OUT +FIRST +LAST\n/)
    expect(listed.stdout).toMatch(/\nacme +acme-1 +price +1 +1000 +100 +20/)
    expect(listed.stderr).toContain('stele usage reprice')
    const before = await runStele(['calls', 'explain', id], { place })
    expect(before.stdout).toContain('unknown: the model has no price')

    const cwd = await withPrice()
    const would = await runJson(['usage', 'reprice', '--dry-run'], { place, cwd })
    expect(would).toMatchObject({ is_dry_run: true, looked: 3, filled: 1, added_nanousd: 3_000_000 })
    const done = await runStele(['usage', 'reprice', '--since', '2020-01-01'], { place, cwd })
    expect(done).toMatchObject({ code: 0, stdout: '' })
    expect(done.stderr).toContain('Given a cost:    1\nCorrected:       0\nStill unknown:   1\n')
    expect(done.stderr).toContain('+$0.003')
    expect(await runJson(['usage', 'unpriced'], { place })).toMatchObject([{ lacks: 'usage', calls: 1 }])

    const explained = await runStele(['calls', 'explain', id], { place, cwd })
    expect(explained.stdout).toMatch(/price +own, prices\[0\] acme\/acme-\*, from 2020-01-01\n/)
    expect(explained.stdout).toMatch(/computed +\$0\.003\non record +\$0\.003\n/)
    expect(explained.stdout).toMatch(
      /\ninput tokens +1000 +\$2 a million +\$0\.002\noutput tokens +100 +\$10 a million +\$0\.001\n$/,
    )
    expect(await runJson(['calls', 'explain', id], { place, cwd })).toMatchObject({
      basis: 'priced',
      agrees: true,
      stored_nanousd: 3_000_000,
      lines: [
        { kind: 'input', count: 1_000 },
        { kind: 'output', count: 100 },
      ],
    })
    expect((await runStele(['calls', 'explain', echoed], { place })).stdout).toContain(
      'answered by Stele itself',
    )
    expect((await runStele(['calls', 'explain', lost], { place })).stdout).toContain(
      'nobody knows what was used',
    )
  })
})

test('what was estimated is marked as such, and so is what follows from it', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const interaction = { userId: 'ada', provider: 'openai', model: 'gpt-4o', messages: [user('Hi')] }
  await stele.saveInteraction({ ...interaction, responseText: 'Hello' })
  await stele.saveInteraction({ ...interaction, responseText: 'Hello', inputTokens: 8, outputTokens: 1 })
  await stele.close()
  const { stdout } = await runStele(['calls', 'list'], { place })
  expect(stdout).toMatch(/ gpt-4o +8 +1 +\$0\.00003 +-\n.* gpt-4o +~8 +~1 +~\$0\.00003 +-\n$/)
})

test('a call that is not there, a bad date and a bad price are refused in words', async () => {
  const place = await sqlitePlace()
  await record(place)
  expect(await runStele(['calls', 'explain', 'call_x'], { place })).toMatchObject({
    code: 1,
    stderr: "stele: There is no settled call 'call_x'.\n",
  })
  expect(await runStele(['usage', 'reprice', '--since', 'soon'], { place })).toMatchObject({ code: 2 })
  const cwd = await temporaryFolder()
  await writeFile(join(cwd, 'stele.config.json'), JSON.stringify({ prices: [{ model: 'x', input: -1 }] }))
  const refused = await runStele(['usage', 'unpriced'], { place, cwd })
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('prices.0.input')
  const providers = { mine: { baseUrl: 'http://127.0.0.1:1/v1', pricesOf: 'opnai' } }
  await writeFile(join(cwd, 'stele.config.json'), JSON.stringify({ providers }))
  const misspelt = await runStele(['usage', 'unpriced'], { place, cwd })
  expect(misspelt.code).toBe(1)
  expect(misspelt.stderr).toContain("providers.mine.pricesOf: there is no 'opnai'")
})
