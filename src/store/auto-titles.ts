import type { Row } from '../db/tables.ts'
import { titleFrom } from '../model/auto-title.ts'
import { decodeText, isAbsent } from '../privacy/content.ts'
import type { Reading } from './contents.ts'

type Untitled = Pick<Row<'conversations'>, 'user_id' | 'id' | 'parent_id' | 'parent_seq'>

/** The first message of the user's is looked for among so many: instructions and a greeting come before it. */
const lookedAt = 4

/** How far back a fork's first message is looked for. */
const mostForks = 16

/**
 * Titles of conversations that were given none, made when they are read: nothing of what was said is kept a second time,
 * and a message that is deleted names nothing any more. One query for a page of conversations, and one more for each
 * generation of forks on it.
 */
export function autoTitles({ kysely, contents }: Reading) {
  /** From where each conversation's first messages come. */
  const beginnings = async (rows: readonly Untitled[]): Promise<Map<Untitled, Untitled>> => {
    const found = new Map(rows.map(row => [row, row]))
    for (let generation = 0; generation < mostForks; generation++) {
      const forks = [...found].filter(([, { parent_seq }]) => (parent_seq ?? -1) >= 0)
      if (forks.length === 0) break
      const parents = await kysely
        .selectFrom('conversations')
        .select(['user_id', 'id', 'parent_id', 'parent_seq'])
        .where('id', 'in', [...new Set(forks.map(([, { parent_id }]) => parent_id ?? ''))])
        .where('user_id', 'in', [...new Set(forks.map(([, { user_id }]) => user_id))])
        .execute()
      const byKey = new Map(parents.map(parent => [`${parent.id} ${parent.user_id}`, parent]))
      for (const [row, { parent_id, user_id }] of forks) {
        const parent = byKey.get(`${parent_id} ${user_id}`)
        if (parent === undefined) found.delete(row)
        else found.set(row, parent)
      }
    }
    return found
  }

  return async (rows: readonly Untitled[]): Promise<Map<Untitled, string>> => {
    const titles = new Map<Untitled, string>()
    if (rows.length === 0) return titles
    const origins = await beginnings(rows)
    const stored = await kysely
      .selectFrom('messages')
      .select(['user_id', 'conversation_id', 'seq', 'content'])
      .where('conversation_id', 'in', [...new Set([...origins.values()].map(({ id }) => id))])
      .where('user_id', 'in', [...new Set(rows.map(({ user_id }) => user_id))])
      .where('seq', '<', lookedAt)
      .where('role', '=', 'user')
      .where('deleted_at', 'is', null)
      .execute()
    const messages = await contents.open(kysely, 'messages', stored)
    // The first is set last.
    messages.sort((a, b) => b.seq - a.seq)
    const first = new Map(messages.map(row => [`${row.conversation_id} ${row.user_id}`, row.content]))
    for (const [row, origin] of origins) {
      const content = first.get(`${origin.id} ${origin.user_id}`)
      const title = content && !isAbsent(content) ? titleFrom(decodeText(content)) : undefined
      if (title !== undefined) titles.set(row, title)
    }
    return titles
  }
}
