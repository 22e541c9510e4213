import { sql } from 'kysely'
import { documentIdOf, newId, responseIdOf } from '../../src/ids.ts'
import type { PlacedCall, ResponseStart } from '../../src/model/call.ts'
import type { BeginInput } from '../../src/recorder/begin-input.ts'
import type { Stele } from '../../src/stele.ts'
import { begin, chatBody, completed, completionBody, settle } from './chat.ts'

/** How a response begins that is given `input`. @param callId its first call */
export function responseStart(callId: string, input: string): ResponseStart {
  return {
    id: responseIdOf(callId),
    previousResponseId: undefined,
    input: JSON.stringify([{ type: 'message', content: input }]),
    body: '{"status":"in_progress"}',
    metadata: JSON.stringify({ about: input }),
  }
}

/** What a document begins with, and its type. @param callId its first call */
function documentStart(callId: string, input: string): Pick<BeginInput, 'document' | 'documentKind'> {
  return {
    documentKind: { type: 'note', version: '1' },
    document: { id: documentIdOf(callId), previousId: undefined, input: JSON.stringify({ about: input }) },
  }
}

/** A call that leaves all that one can: messages, a response, a document, a completion that is listed, words to be indexed. */
export async function callWithAll(
  stele: Stele,
  messages: readonly unknown[],
  reply: string,
  { createdAt = Date.now(), ...more }: Partial<BeginInput> = {},
): Promise<PlacedCall> {
  const callId = newId('call')
  const response = responseStart(callId, reply)
  const body = chatBody(messages, { store: true, metadata: { about: reply } })
  const call = await begin(stele, body, {
    callId,
    response,
    ...documentStart(callId, reply),
    sent: { compression: 'high/1', facts: JSON.stringify({ about: reply }) },
    createdAt,
    ...more,
  })
  const ended = { id: response.id, status: 'completed', body: JSON.stringify({ output: reply }) }
  await settle(stele, call, {
    ...completed(completionBody(reply, { id: `chatcmpl-${callId}` })),
    response: ended,
    document: {
      id: documentIdOf(callId),
      status: 'invalid',
      output: JSON.stringify({ says: reply }),
      errorCode: 'document_invalid',
      errorMessage: `no document: ${reply}`,
    },
    createdAt,
  })
  return call
}

/** Has an answer kept that may be given again, and that is found by its meaning too. */
export async function cacheAnswer(
  { cache }: Pick<Stele, 'cache'>,
  { userId, callId, text }: { userId: string; callId: string; text: string },
): Promise<void> {
  const place = { userId, partition: '' }
  const context = { hash: `context of ${userId}`, said: text }
  const key = { place, provider: 'test', model: 'm', entryHash: `hash of ${userId}`, context }
  const vector = Float32Array.of(0.6, 0.8)
  const kept = { key, text: JSON.stringify({ text }), vector, callId, apiKeyId: undefined, ttl: 3_600_000 }
  await cache.keep(kept)
}

/** The messages that the search index holds, as `conversation seq`, and how many texts it has words of. */
export async function indexOf({ database }: Pick<Stele, 'database'>): Promise<{
  places: string[]
  texts: number
}> {
  const { rows } = await sql<{ place: string }>`
    SELECT conversation_id || ' ' || seq AS place FROM message_search ORDER BY 1`.execute(database.kysely)
  // One database has the words in a table of their own.
  const words = (await database.hasTable(database.kysely, 'message_words'))
    ? 'message_words'
    : 'message_search'
  const { rows: counted } = await sql<{ count: number }>`
    SELECT count(*) AS count FROM ${sql.table(words)}`.execute(database.kysely)
  return { places: rows.map(({ place }) => place), texts: counted[0]?.count ?? 0 }
}
