import type { Database } from '../db/database.ts'
import type { Row } from '../db/tables.ts'

/** The hashes of a history up to one of its messages. */
export interface Link {
  readonly chainHash: string
  readonly wireHash: string
}

export type KnownConversation = Pick<
  Row<'conversations'>,
  'user_id' | 'id' | 'next_seq' | 'parent_id' | 'parent_seq'
>

const beginning: Link = { chainHash: '', wireHash: '' }

/** What messages are hashed onto: read from the database, or kept in mind until it is written. */
export class ImportedHistory {
  readonly #database: Database
  readonly #conversations = new Map<string, KnownConversation>()
  readonly #links = new Map<string, Link>()

  constructor(database: Database) {
    this.#database = database
  }

  forget(): void {
    this.#conversations.clear()
    this.#links.clear()
  }

  addConversation(row: KnownConversation): void {
    this.#conversations.set(keyOf(row.user_id, row.id), row)
  }

  addLink(userId: string, conversationId: string, seq: number, link: Link): void {
    this.#links.set(`${seq} ${keyOf(userId, conversationId)}`, link)
  }

  /** As the line says it, or as it is on record. */
  async conversation(userId: string, id: string): Promise<KnownConversation | undefined> {
    const known = this.#conversations.get(keyOf(userId, id))
    if (known !== undefined) return known
    const row = await this.recordedConversation(userId, id)
    if (row !== undefined) this.addConversation(row)
    return row
  }

  recordedConversation(userId: string, id: string): Promise<KnownConversation | undefined> {
    return this.#database.kysely
      .selectFrom('conversations')
      .select(['user_id', 'id', 'next_seq', 'parent_id', 'parent_seq'])
      .where('id', '=', id)
      .where('user_id', '=', userId)
      .executeTakeFirst()
  }

  /** Of a message of the conversation's history, forks included; undefined when it is missing. */
  async linkAt(userId: string, conversationId: string, seq: number): Promise<Link | undefined> {
    if (seq < 0) return beginning
    for (let id: string | null = conversationId; id !== null; ) {
      const conversation: KnownConversation | undefined = await this.conversation(userId, id)
      if (conversation === undefined) return undefined
      if (seq > (conversation.parent_seq ?? -1)) return this.#ownLink(userId, id, seq)
      id = conversation.parent_id
    }
    return undefined
  }

  async #ownLink(userId: string, conversationId: string, seq: number): Promise<Link | undefined> {
    const known = this.#links.get(`${seq} ${keyOf(userId, conversationId)}`)
    if (known !== undefined) return known
    const row = await this.#database.kysely
      .selectFrom('messages')
      .select(['chain_hash', 'wire_hash'])
      .where('conversation_id', '=', conversationId)
      .where('user_id', '=', userId)
      .where('seq', '=', seq)
      .executeTakeFirst()
    return row && { chainHash: row.chain_hash, wireHash: row.wire_hash }
  }
}

function keyOf(userId: string, conversationId: string): string {
  return `${conversationId} ${userId}`
}
