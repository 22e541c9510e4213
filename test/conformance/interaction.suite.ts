import { expect, test } from 'vitest'
import { newId } from '../../src/ids.ts'
import { assistant, historyOf, user } from '../harness/chat.ts'
import type { Bed } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'
import { countOf } from '../harness/rows.ts'

/** The one-line call of the library. */
export function interactionSuite(bed: Bed): void {
  test('saving an interaction stores question, answer, tokens and cost', async () => {
    const stele = await (await bed.place()).stele()
    const { callId, conversationId } = await stele.saveInteraction({
      userId: 'ada',
      model: 'gpt-4o',
      messages: [user('Hi')],
      responseText: 'Hello "you" 👋',
      provider: 'openai',
      inputTokens: 3,
      outputTokens: 2,
      costNanousd: 12,
      latencyMs: 80,
    })
    expect(await stele.calls.get('ada', callId)).toMatchObject({
      status: 'completed',
      provider: 'openai',
      requestModel: 'gpt-4o',
      inputTokens: 3,
      outputTokens: 2,
      costNanousd: 12,
      latencyMs: 80,
    })
    expect(await historyOf(stele, conversationId ?? '')).toEqual([user('Hi'), assistant('Hello "you" 👋')])
  })

  test('turns saved one after another are one conversation', async () => {
    const stele = await (await bed.place()).stele()
    const messages = [user('Hi')]
    const first = await stele.saveInteraction({ userId: 'ada', model: 'm', messages, responseText: 'Hello' })
    messages.push(assistant('Hello'), user('And?'))
    const second = await stele.saveInteraction({
      userId: 'ada',
      model: 'm',
      messages,
      responseText: 'Nothing',
    })
    expect(second.conversationId).toBe(first.conversationId)
    expect(await countOf(stele, 'messages')).toBe(4)
  })

  test('an interaction without an answer is a failed call', async () => {
    const stele = await (await bed.place()).stele()
    const { callId } = await stele.saveInteraction({
      userId: 'ada',
      model: 'm',
      messages: [user('Hi')],
      errorMessage: 'no credit',
    })
    expect(await stele.calls.get('ada', callId)).toMatchObject({
      status: 'failed',
      errorCode: 'external',
      errorMessage: 'no credit',
    })
  })

  test('an answer from a cache is told apart', async () => {
    const stele = await (await bed.place()).stele()
    const { callId } = await stele.saveInteraction({
      userId: 'ada',
      model: 'm',
      messages: [user('Hi')],
      responseText: 'Hello',
      cacheHit: true,
    })
    expect(await stele.calls.get('ada', callId)).toMatchObject({ status: 'cached' })
  })

  test('saving again under the same call id stores nothing more', async () => {
    const stele = await (await bed.place()).stele()
    const interaction = {
      userId: 'ada',
      model: 'm',
      messages: [user('Hi')],
      responseText: 'Hello',
      callId: newId('call'),
    }
    const first = await stele.saveInteraction(interaction)
    expect(await stele.saveInteraction(interaction)).toEqual(first)
    expect(await countOf(stele, 'messages')).toBe(2)
    expect(await countOf(stele, 'audit_events')).toBe(2)
  })

  test('an interaction without messages or model is refused and stores nothing', async () => {
    const stele = await (await bed.place()).stele()
    await failure(
      'invalid_value',
      stele.saveInteraction({ userId: 'ada', model: 'm', messages: [], responseText: 'Hello' }),
    )
    await failure(
      'invalid_value',
      stele.saveInteraction({ userId: 'ada', model: '', messages: [user('Hi')], responseText: 'Hello' }),
    )
    expect(await countOf(stele, 'llm_requests')).toBe(0)
  })
}
