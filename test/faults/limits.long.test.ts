import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Agent } from 'undici'
import { expect, onTestFinished, test } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import { serveProcess } from '../gateway/serve-process.ts'
import { completionBody } from '../harness/chat.ts'
import { type Place, postgresPlace, sqlitePlace } from '../harness/databases.ts'
import { rowsOf } from '../harness/rows.ts'

const apiKey = 'sk-test-0123456789abcdef'
const gatewayCount = 4
const clientCount = 50
const callsOfClient = 20
const callCount = clientCount * callsOfClient
const cap = 100

/** After so many calls have reached the provider a gateway is killed. */
const kills = [25, 60]

/** A provider that answers at once, nearly, and counts whom it answers. */
async function startProvider(
  onAsked: (count: number, gateway: number) => void,
): Promise<{ url: string; asked: () => number }> {
  let asked = 0
  const body = completionBody('a', { usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } })
  const server = createServer((request, response) => {
    request.resume().once('end', () => {
      onAsked(++asked, Number(request.url?.split('/')[1]))
      // Long enough that a kill finds calls under way.
      setTimeout(() => response.writeHead(200, { 'content-type': 'application/json' }).end(body), 20)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked }
}

const databases: [name: string, place: () => Promise<Place>][] = [
  ['SQLite', sqlitePlace],
  ['PostgreSQL', postgresPlace],
]

test.each(databases)(
  `of ${callCount} racing calls over ${gatewayCount} gateways on one %s database exactly ${cap} pass a cap for ${cap}, although two of the gateways are killed`,
  { timeout: 120_000 },
  async (_, place) => {
    const at = await place()
    const gateways: GatewayProcess[] = []
    const killed = new Set<number>()
    const provider = await startProvider((count, gateway) => {
      const isTime = count >= (kills[killed.size] ?? Number.POSITIVE_INFINITY)
      if (!isTime || killed.has(gateway)) return
      killed.add(gateway)
      gateways[gateway]?.kill('SIGKILL')
    })
    const stele = await at.stele()
    await stele.limits.set({}, { requestsPerDay: cap, tokensPerDay: 10_000_000 })
    const serve = (index: number): Promise<GatewayProcess> => {
      const env = {
        OPENAI_BASE_URL: `${provider.url}/${index}/v1`,
        STELE_API_KEY: apiKey,
        LOG_LEVEL: 'silent',
      }
      return serveProcess({ place: at, env })
    }
    gateways.push(...(await Promise.all(Array.from({ length: gatewayCount }, (_, index) => serve(index)))))
    const addresses = await Promise.all(gateways.map(({ address }) => address))
    const dispatcher = new Agent()
    onTestFinished(() => dispatcher.destroy())

    const statuses = new Map<number | string, number>()
    const ask = async (client: number): Promise<void> => {
      for (let turn = client, answered = 0; answered < callsOfClient; turn++) {
        const status = await dispatcher
          .request({
            origin: addresses[turn % gatewayCount] ?? '',
            path: '/v1/chat/completions',
            method: 'POST',
            headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
            body: JSON.stringify({
              model: 'm',
              max_completion_tokens: 100,
              messages: [{ role: 'user', content: `${client} ${turn}` }],
            }),
          })
          .then(async ({ statusCode, body }) => {
            await body.dump()
            return statusCode
          })
          .catch(() => 'broken')
        // Whoever was cut off asks again, somewhere else.
        if (status !== 'broken') answered++
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
      }
    }
    await Promise.all(Array.from({ length: clientCount }, (_, client) => ask(client)))

    // Settles what the killed ones left open; what the others do is settled when they have answered.
    await stele.recorder.start()
    const calls = await rowsOf(stele, 'llm_requests')
    const ends = await rowsOf(stele, 'llm_responses')
    expect(calls).toHaveLength(cap)
    expect(provider.asked()).toBeLessThanOrEqual(cap)
    expect(killed.size).toBe(kills.length)
    expect(ends).toHaveLength(cap)
    const completed = ends.filter(({ status }) => status === 'completed')
    const orphaned = ends.filter(({ status }) => status === 'orphaned')
    expect(completed.length + orphaned.length).toBe(cap)
    expect(orphaned.length).toBeGreaterThanOrEqual(kills.length)
    expect([...statuses.keys()].filter(status => ![200, 429, 'broken'].includes(status))).toEqual([])
    expect((statuses.get(200) ?? 0) + (statuses.get(429) ?? 0)).toBe(callCount)

    const held = calls
      .filter(({ id }) => orphaned.some(({ request_id }) => request_id === id))
      .reduce((sum, { reserved_tokens }) => sum + (reserved_tokens ?? 0), 0)
    expect(await rowsOf(stele, 'limit_counters')).toMatchObject([
      { requests: cap, tokens: 10 * completed.length + held },
    ])
    expect(await stele.limits.examine()).toEqual([])
  },
)
