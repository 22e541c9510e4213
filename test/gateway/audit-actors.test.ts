import { expect, test } from 'vitest'
import { plan, replyOf } from '../harness/documents.ts'
import { type Documenting, fieldsOf, withDocuments } from './documenting.ts'
import { json } from './upstream.ts'

type Made = (running: Documenting) => Promise<{ readonly path: string; readonly target: string }>

/** Everything that a user may take away over HTTP: where it is, and what the event names. */
const made: readonly (readonly [string, Made])[] = [
  [
    'conversation.deleted',
    async ({ ask }) => {
      const { id } = fieldsOf(await ask('POST', '/v1/conversations', {}))
      return { path: `/v1/conversations/${id}`, target: String(id) }
    },
  ],
  [
    'item.deleted',
    async ({ ask, stele }) => {
      const items = [{ type: 'message', role: 'user', content: 'Hello' }]
      const { id } = fieldsOf(await ask('POST', '/v1/conversations', { items }))
      const list = fieldsOf(await ask('GET', `/v1/conversations/${id}/items`))['data'] as { id: string }[]
      const [message] = await stele.messages.list({ userId: 'ada', conversationId: String(id) })
      return { path: `/v1/conversations/${id}/items/${list[0]?.id}`, target: String(message?.id) }
    },
  ],
  [
    'response.deleted',
    async ({ ask }) => {
      const { id } = fieldsOf(await ask('POST', '/v1/responses', { model: 'm', input: 'Hello' }))
      return { path: `/v1/responses/${id}`, target: String(id) }
    },
  ],
  [
    'document.deleted',
    async ({ generate }) => {
      const { id } = fieldsOf(await generate())
      return { path: `/v1/documents/${id}`, target: String(id) }
    },
  ],
]

test.each(made)('%s names the key that asked for it', async (action, make) => {
  const running = await withDocuments([json(replyOf(plan))])
  const { path, target } = await make(running)
  expect(await running.ask('DELETE', path)).toMatchObject({ status: 200 })
  const [key] = await running.stele.apiKeys.list({ userId: 'ada' })
  const events = await running.stele.auditEvents.list({ userId: 'ada', action })
  expect(events).toMatchObject([{ actor: key?.id, target, outcome: 'success' }])
})
