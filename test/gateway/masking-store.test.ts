import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { exportedText } from '../harness/exported-text.ts'
import { before, expectNone, hidden, inLogs, said, start } from './masking-start.ts'
import { secrets } from './masking-upstream.ts'
import { recorded } from './running.ts'
import { questionOf } from './wire.ts'

describeEachDatabase('masked calls', bed => {
  test('are recorded as the client knows them when only the provider is not to know', async () => {
    const { running, upstream } = await start(before, { place: await bed.place() })
    const body = JSON.stringify(questionOf(`I am ${secrets.mail}`, { stream: true }))
    const reply = await running.post(body)
    expect(said(reply.text)).toBe(`I am ${secrets.mail}`)
    expectNone(upstream.journal[0]?.text ?? '')
    const { request, response } = await recorded(running, reply.headers['x-stele-call-id'])
    expect(request).toBe(body)
    expect(said(response ?? '')).toBe(`I am ${secrets.mail}`)
  })

  test('leave nothing in the store that is masked there, and go on where they were', async () => {
    const { running } = await start({ ...before, ...inLogs }, { place: await bed.place() })
    const client = running.client()
    const sentence = `I am ${secrets.mail}, ${secrets.phone}, ${secrets.card}`
    const first = await client.chat.completions.create({
      model: 'm',
      messages: [{ role: 'user', content: sentence }],
      store: true,
      metadata: { card: secrets.card },
    })
    expect(first.choices[0]?.message.content).toBe(sentence)
    await running.post({
      model: 'm',
      messages: [
        { role: 'user', content: sentence },
        { role: 'assistant', content: sentence },
        { role: 'user', content: 'Who?' },
      ],
      stream: true,
    })
    const response = await client.responses.create({ model: 'm', input: sentence, instructions: secrets.key })
    expect(response.output_text).toContain(secrets.mail)
    const calls = await running.stele.calls.list()
    expect(calls[1]?.conversationId).toBe(calls[2]?.conversationId)
    const kept = await exportedText(running.stele)
    expectNone(kept, hidden)
    expect(kept).toContain('I am [EMAIL_1], [PHONE_1]')
  })
})
