import type OpenAI from 'openai'
import { completion } from '../harness/chat.ts'
import { type Running, startGateway } from './running.ts'
import { json, startUpstream } from './upstream.ts'
import { questionOf } from './wire.ts'

/** Makes stored completions with these ids, one after another, and returns a client. */
export async function withStored(
  ids: readonly string[],
  metadata: (id: string) => Record<string, string> | undefined = () => undefined,
): Promise<{ running: Running; client: OpenAI }> {
  const upstream = await startUpstream(...ids.map(id => json(completion(`I am ${id}`, { id }))))
  const running = await startGateway({ upstream })
  const client = running.client()
  for (const id of ids)
    await client.chat.completions.create(questionOf(`Who is ${id}?`, { store: true, metadata: metadata(id) }))
  return { running, client }
}

export const get = (running: Running, path: string, key = running.key, headers = {}) =>
  running.send('GET', path, { headers: { authorization: `Bearer ${key}`, ...headers } })

export const idsOf = (text: string): string[] =>
  (JSON.parse(text) as { data: { id: string }[] }).data.map(({ id }) => id)

export const path = '/v1/chat/completions'
