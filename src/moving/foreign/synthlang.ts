import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { ForeignDatabase, ForeignRow, ForeignValue } from '../../db/foreign.ts'
import { callEvent, callLine, responseLine } from './call.ts'
import { conversationLine, conversationRecords } from './conversation.ts'
import { isFernetToken } from './fernet.ts'
import { roleOf } from './message.ts'
import type { Origin, SourceItem, TableReader } from './source.ts'
import { rowsOf } from './tables.ts'
import { countOf, isTrue, millisecondsOf, wordOf } from './values.ts'

const known = {
  interactions: [
    'id',
    'user_id',
    'model',
    'prompt_enc',
    'response_enc',
    'cache_hit',
    'prompt_tokens',
    'response_tokens',
    'timestamp',
  ],
}

/** A router's log: each row is one prompt, of all messages joined, and its response; both may be encrypted. */
export const synthlang: TableReader = {
  format: 'synthlang',
  required: { interactions: ['id', 'user_id', 'prompt_enc', 'response_enc'] },
  known,
  async *read(database: ForeignDatabase, origin: Origin): AsyncGenerator<SourceItem> {
    for await (const row of rowsOf(database, 'interactions', known.interactions, [{ value: 'id' }]))
      yield await interaction(origin, row)
  },
}

async function interaction(origin: Origin, row: ForeignRow): Promise<SourceItem> {
  const table = 'interactions'
  const { id, user_id: userId } = row
  const createdAt = millisecondsOf(row['timestamp'])
  const prompt = opened(origin, row['prompt_enc'])
  const response = opened(origin, row['response_enc'])
  const skipped = (reason: string): SourceItem => ({ table, records: [], skipped: reason })
  if (typeof id !== 'string' || typeof userId !== 'string') return skipped('it has no id, or no user')
  if (createdAt === undefined) return skipped('it has no time')
  if ('problem' in prompt) return skipped(prompt.problem)
  if ('problem' in response) return skipped(response.problem)
  if (prompt.text === null && response.text === null) return skipped('it has no content')
  const digest = createHash('sha256')
    .update(JSON.stringify([prompt.text, response.text]))
    .digest('base64url')
  const conversationId = origin.id('conversation', createdAt, id, userId, digest)
  const callId = origin.id('call', createdAt, id, userId, digest)
  const model = wordOf(row['model'])
  const asked = prompt.text === null ? [] : promptMessages(prompt.text)
  const spoken = [
    ...asked,
    ...(response.text === null ? [] : [{ role: 'assistant', content: response.text }]),
  ]
  const messages = spoken.map(({ role, content }, index) => ({
    table,
    originalId: `${id} ${index}`,
    role,
    json: JSON.stringify({ role, content }),
    createdAt,
    model: index >= asked.length ? model : null,
    callId,
  }))
  const hasReply = response.text !== null
  const call = callLine({
    id: callId,
    user_id: userId,
    conversation_id: conversationId,
    up_to_seq: Math.max(0, asked.length - 1),
    provider: 'synthlang',
    request_model: model ?? 'unknown',
    created_at: createdAt,
    response: responseLine({
      status: isTrue(row['cache_hit']) ? 'cached' : 'completed',
      conversation_id: hasReply ? conversationId : null,
      seq: hasReply ? asked.length : null,
      response_model: model,
      input_tokens: countOf(row['prompt_tokens']),
      output_tokens: countOf(row['response_tokens']),
      created_at: createdAt,
    }),
  })
  const line = conversationLine({
    id: conversationId,
    user_id: userId,
    metadata: origin.metadata(id),
    created_at: createdAt,
  })
  if (call.response?.input_tokens != null)
    origin.note('interactions: count words, not tokens; their numbers are kept as tokens')
  const said = await conversationRecords(origin, line, messages)
  return { table, records: [...said, call, callEvent(origin, call, id, {})] }
}

/** What a column says, decrypted if it must be. */
function opened(
  { options }: Origin,
  value: ForeignValue | undefined,
): { readonly text: string | null } | { readonly problem: string } {
  if (value === null || value === undefined) return { text: null }
  const stored = Buffer.from(value)
  const isToken = isFernetToken(stored)
  if (isToken && options.key === undefined) return { problem: 'encrypted, no key' }
  const bytes = isToken ? options.key?.open(stored) : stored
  if (bytes === undefined) return { problem: 'encrypted, and not with the key that was given' }
  return isUtf8(bytes) ? { text: bytes.toString('utf8') } : { problem: 'its content is not valid UTF-8' }
}

/**
 * The messages that were joined to one text, each as `role: content` on lines of its own. Where the text begins with no
 * role it is what the user said. A line of a message that itself begins with a role and a colon cannot be told from
 * another message.
 */
function promptMessages(text: string): { role: string; content: string }[] {
  const parts = text.replace(/^\n/, '').split(/\n(?=(?:system|user|assistant|developer|tool|function): )/)
  const messages = parts.map(part => {
    const match = /^(\w+): ([\s\S]*)$/.exec(part)
    const role = roleOf(match?.[1])
    return role === undefined ? undefined : { role, content: match?.[2] ?? '' }
  })
  return messages.every(message => message !== undefined) ? messages : [{ role: 'user', content: text }]
}
