import type { ForeignValue } from '../../db/foreign.ts'

/** A message of a source, before it has its place. */
export interface MessageDraft {
  /** The table its row is of. */
  readonly table: string
  readonly rows?: number
  /** Why it is not imported; then it has no place. */
  readonly skipped?: string | undefined
  readonly originalId: string | null
  /** The message as OpenAI writes it, as JSON text. */
  readonly json: string
  readonly role: string
  /** Milliseconds since 1970; undefined when the source does not say. */
  readonly createdAt: number | undefined
  readonly model?: string | null
  readonly intent?: string | null
  readonly costNanousd?: number | null
  readonly callId?: string | null
  /** What else is known of it. */
  readonly facts?: Readonly<Record<string, unknown>>
}

const roles: Readonly<Record<string, string>> = {
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  ai: 'assistant',
  bot: 'assistant',
  model: 'assistant',
  agent: 'assistant',
  system: 'system',
  developer: 'developer',
  tool: 'tool',
  function: 'function',
}

/** The role as OpenAI calls it; undefined when it has none such. */
export function roleOf(value: ForeignValue | undefined): string | undefined {
  return typeof value === 'string' ? roles[value.trim().toLowerCase()] : undefined
}

/** A row of a table that has a role and text: its message, or why it is none. */
export function rowMessage(
  role: ForeignValue | undefined,
  content: ForeignValue | undefined,
): Pick<MessageDraft, 'json' | 'role' | 'skipped'> {
  const known = roleOf(role)
  const none = { json: '', role: '' }
  if (known === undefined)
    return { ...none, skipped: role == null ? 'it has no role' : 'its role is none that is known' }
  if (content === null || content === undefined) return { ...none, skipped: 'it has no content' }
  if (content instanceof Uint8Array) return { ...none, skipped: 'its content is not valid UTF-8' }
  return { role: known, json: JSON.stringify({ role: known, content }) }
}
