import type OpenAI from 'openai'
import { expect } from 'vitest'
import { historyOf } from '../harness/chat.ts'
import { exportedText } from '../harness/exported-text.ts'
import { rowsOf } from '../harness/rows.ts'
import { parrot, secrets } from './masking-upstream.ts'
import { type Running, type RunningOptions, startGateway } from './running.ts'
import { startUpstream } from './upstream.ts'

export const hidden = Object.values(secrets)

/** A gateway with these settings before the parrot. */
export async function start(config: Record<string, unknown> = {}, options: RunningOptions = {}) {
  const upstream = await startUpstream(parrot)
  const running = await startGateway({ upstream, ...options, config })
  return { upstream, running }
}

export const before = { maskPiiBeforeLlm: true }
export const inLogs = { maskPiiInLogs: true }

/** Every value and text that the store holds in any form. */
export async function everythingStored(running: Running): Promise<string> {
  const { stele } = running
  const texts: string[] = []
  for (const call of await stele.calls.list({ limit: 1_000 })) {
    texts.push((await stele.calls.exactRequest(call.userId, call.id)).toString())
    texts.push((await stele.calls.exactResponse(call.userId, call.id))?.toString() ?? '')
    texts.push((await stele.calls.replyMessage(call.userId, call.id)) ?? '')
  }
  for (const row of await rowsOf(stele, 'conversations')) {
    texts.push(JSON.stringify(row))
    texts.push(...(await historyOf(stele, row.id, row.user_id)).map(message => JSON.stringify(message)))
  }
  for (const row of await rowsOf(stele, 'responses')) {
    texts.push(row.metadata ?? '')
    for (const route of [`/v1/responses/${row.id}`, `/v1/responses/${row.id}/input_items`])
      texts.push(
        (await running.send('GET', route, { headers: { authorization: `Bearer ${running.key}` } })).text,
      )
  }
  texts.push(await exportedText(stele))
  return texts.join('\n')
}

/** Fails when any of this stands in a text, in any spelling. */
export function expectNone(text: string, what: readonly string[] = hidden): void {
  for (const one of what) {
    expect(text).not.toContain(one)
    expect(text).not.toContain(JSON.stringify(one).slice(1, -1))
  }
}

/** What a reply says, in whichever form. */
export function said(text: string): string {
  if (text.startsWith('{'))
    return (JSON.parse(text) as OpenAI.ChatCompletion).choices[0]?.message.content ?? ''
  return [...text.matchAll(/^data: (\{.*)$/gm)]
    .map(([, data]) => (JSON.parse(data ?? '') as OpenAI.ChatCompletionChunk).choices[0]?.delta.content ?? '')
    .join('')
}
