import { expect, test } from 'vitest'
import { begin, chatBody, completed, completionBody, settle, user } from '../harness/chat.ts'
import { describeEachDatabase } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'
import { serveProcess } from './serve-process.ts'

const day = 86_400_000

describeEachDatabase('retention in serve', bed => {
  test('of two gateways one lets go what has expired, logs it and counts it', {
    timeout: 60_000,
  }, async () => {
    const place = await bed.place()
    const stele = await place.stele()
    const createdAt = Date.now() - 40 * day
    for (let index = 0; index < 3; index++) {
      const call = await begin(stele, chatBody([user(`secret ${index}`)]), { createdAt })
      await settle(stele, call, completed(completionBody('a'), { createdAt }))
    }
    const env = { STELE_RETENTION_CONTENT: '30', STELE_RETENTION_EVERY: '1', PORT: '0' }
    const gateways = [await serveProcess({ place, env }), await serveProcess({ place, env })]
    const addresses = await Promise.all(gateways.map(({ address }) => address))
    await expect
      .poll(async () => (await rowsOf(stele, 'messages')).every(({ content }) => content.byteLength === 1))
      .toBe(true)
    const metric = async (name: string): Promise<number> => {
      let sum = 0
      for (const address of addresses) {
        const text = await (await fetch(`${address}/metrics`)).text()
        sum += Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
      }
      return sum
    }
    await expect.poll(() => metric('stele_retention_rows_total')).toBe(9)
    expect(await metric('stele_retention_runs_total')).toBeGreaterThan(0)
    expect(await metric('stele_retention_failures_total')).toBe(0)
    expect(await metric('stele_retention_last_run_timestamp_seconds')).toBeGreaterThan(1_700_000_000)
    const lines = () => gateways.flatMap(({ stderr }) => stderr().split('\n').filter(Boolean))
    await expect.poll(() => lines().some(line => line.includes('let go what has expired'))).toBe(true)
    const told = lines()
      .filter(line => line.includes('let go what has expired'))
      .map(line => JSON.parse(line) as { expired: { rows: number }[] })
    expect(told.flatMap(({ expired }) => expired.map(({ rows }) => rows))).toEqual([3, 6])
    expect(
      (await rowsOf(stele, 'audit_events')).filter(({ action }) => action === 'retention.run'),
    ).toHaveLength(1)
    for (const gateway of gateways) gateway.kill('SIGTERM')
    for (const gateway of gateways) expect(await gateway.ended).toMatchObject({ code: 0 })
    expect(lines().join()).not.toContain('secret')
  })
})
