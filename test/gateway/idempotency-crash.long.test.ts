import { request } from 'undici'
import { expect, test } from 'vitest'
import type { GatewayProcess } from '../../faults/gateway-process.ts'
import { completion } from '../harness/chat.ts'
import { describeEachDatabase, type Place } from '../harness/databases.ts'
import { serveProcess } from './serve-process.ts'
import { json, silence, startUpstream, type Upstream } from './upstream.ts'
import { questionOf } from './wire.ts'

const secret = 'a-key-of-my-own-making'

function start(place: Place, upstream: Upstream): Promise<GatewayProcess> {
  return serveProcess({ place, env: { STELE_API_KEY: secret, OPENAI_BASE_URL: upstream.baseUrl } })
}

async function ask(gateway: GatewayProcess, key: string) {
  const { statusCode, headers, body } = await request(`${await gateway.address}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${secret}`,
      'content-type': 'application/json',
      'idempotency-key': key,
    },
    body: JSON.stringify(questionOf('Hi')),
  })
  return { status: statusCode, headers, text: await body.text() }
}

describeEachDatabase('a gateway that is killed', bed => {
  test('leaves the keys of its answered calls to the next one', { timeout: 60_000 }, async () => {
    const place = await bed.place()
    const upstream = await startUpstream(json(completion('once')))
    const first = await start(place, upstream)
    const answer = await ask(first, 'k')
    first.kill('SIGKILL')
    await first.ended
    const again = await ask(await start(place, upstream), 'k')
    expect(again).toMatchObject({ status: 200, text: answer.text })
    expect(again.headers).toMatchObject({
      'idempotent-replayed': 'true',
      'x-stele-call-id': answer.headers['x-stele-call-id'],
      'x-stele-conversation': answer.headers['x-stele-conversation'],
    })
    expect(upstream.journal).toHaveLength(1)
  })

  test('in the middle of a call frees its key once the call is found orphaned', {
    timeout: 60_000,
  }, async () => {
    const place = await bed.place()
    const upstream = await startUpstream(silence, json(completion('at last')))
    const dying = await start(place, upstream)
    const lost = ask(dying, 'k').catch(() => 'lost')
    await upstream.received()
    // It runs beside the other, waits for its call, and finds it dead.
    const living = await start(place, upstream)
    await living.address
    const repetition = ask(living, 'k')
    dying.kill('SIGKILL')
    expect(await lost).toBe('lost')
    const answer = await repetition
    expect(answer.status).toBe(200)
    expect(answer.text).toContain('at last')
    expect(answer.headers['idempotent-replayed']).toBeUndefined()
    const stele = await place.stele()
    expect((await stele.calls.list()).map(({ status }) => status)).toEqual(['completed', 'orphaned'])
    expect(upstream.journal).toHaveLength(2)
  })
})
