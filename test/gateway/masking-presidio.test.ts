import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { before, everythingStored, expectNone, hidden, inLogs, said, start } from './masking-start.ts'
import { secrets } from './masking-upstream.ts'
import { errorOf, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'

describe('an analyzer of Presidio’s', () => {
  async function analyzer(answer: (text: string) => { status?: number; body: unknown } | undefined) {
    const asked: { text: string; language: string }[] = []
    let milliseconds = 0
    const server = createServer(async (request, response) => {
      let body = ''
      for await (const piece of request) body += piece
      const question = JSON.parse(body) as (typeof asked)[number]
      asked.push(question)
      const { status = 200, body: said } = answer(question.text) ?? { body: undefined }
      if (said === undefined) return
      await setTimeout(milliseconds)
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(JSON.stringify(said))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/presidio/`,
      asked,
      server,
      delay: (each: number) => {
        milliseconds = each
      },
    }
  }
  /** Finds the first Grace, and counts characters as Python does. */
  const findGrace = (text: string) => {
    const at = text.indexOf('Grace')
    if (at === -1) return { body: [] }
    const start = [...text.slice(0, at)].length
    return { body: [{ entity_type: 'PERSON', start, end: start + 5, score: 0.85 }] }
  }

  test('finds what Stele does not, in requests and in what is stored of replies', async () => {
    const { url, asked } = await analyzer(findGrace)
    const { running, upstream } = await start({ ...before, ...inLogs, masking: { presidio: { url } } })
    const reply = await running.post(questionOf(`😀 Grace has ${secrets.mail}`))
    expect(upstream.journal[0]?.text).toContain('😀 [PERSON_1] has [EMAIL_1]')
    expect(said(reply.text)).toBe(`😀 Grace has ${secrets.mail}`)
    expect(asked[0]).toMatchObject({ language: 'en', entities: ['PERSON', 'LOCATION', 'NRP'] })
    expectNone(await everythingStored(running), ['Grace', ...hidden])
  })

  test('has its time for each text, however many there are', async () => {
    const { url, asked, delay } = await analyzer(findGrace)
    delay(200)
    const { running, upstream } = await start({ ...before, masking: { presidio: { url, timeout: 1 } } })
    const messages = Array.from({ length: 48 }, (_, at) => ({ role: 'user', content: `Grace ${at}` }))
    expect((await running.post({ model: 'm', messages })).status).toBe(200)
    expect(asked).toHaveLength(48)
    expect(upstream.journal[0]?.text).not.toContain('Grace')
  })

  test.each([
    ['refuses', () => ({ status: 500, body: {} })],
    ['says nothing', () => undefined],
    ['says something else', () => ({ body: { no: 'list' } })],
  ])('nothing goes out while it %s', async (_, answer) => {
    const { url } = await analyzer(answer)
    const { running, upstream } = await start({ ...before, masking: { presidio: { url, timeout: 0.2 } } })
    const reply = await running.post(questionOf('Grace'))
    expect([reply.status, errorOf(reply).code]).toEqual([503, 'masking_unavailable'])
    expect(upstream.journal).toHaveLength(0)
    expect(await running.stele.calls.list()).toEqual([])
  })

  test('a reply that cannot be looked at is not kept, and not told as if it were', async () => {
    let isDown = false
    const { url } = await analyzer(text => (isDown ? { status: 500, body: {} } : findGrace(text)))
    const upstream = await startUpstream((reply, request) => {
      isDown = true
      return json({
        id: 'c',
        object: 'chat.completion',
        model: 'm',
        choices: [
          { index: 0, message: { role: 'assistant', content: 'Grace says hi' }, finish_reason: 'stop' },
        ],
      })(reply, request)
    })
    const running = await startGateway({ upstream, config: { ...inLogs, masking: { presidio: { url } } } })
    const reply = await running.post(questionOf('hello there'))
    expect([reply.status, errorOf(reply).code]).toEqual([503, 'masking_unavailable'])
    const [call] = await running.stele.calls.list()
    expect(call).toMatchObject({ status: 'failed', errorCode: 'masking_unavailable' })
    expectNone(await everythingStored(running), ['Grace'])
  })
})
