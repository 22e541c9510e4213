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

/** Of messages that are gone. No message is hashed onto it but by an import. */
const lost: Link = { chainHash: 'lost', wireHash: 'lost' }

const beginning: Link = { chainHash: '', wireHash: '' }

/** What messages are hashed onto: read from the database, or kept in mind until it is written. */
export class ImportedHistory {
  readonly #database: Database
  readonly #conversations = new Map<string, KnownConversation>()
  readonly #links = new Map<string, Link>()
  /** The first known message of each conversation. */
  readonly #lowest = new Map<string, number>()

  constructor(database: Database) {
    this.#database = database
  }

  forget(): void {
    this.#conversations.clear()
    this.#links.clear()
    this.#lowest.clear()
  }

  addConversation(row: KnownConversation): void {
    this.#conversations.set(keyOf(row.user_id, row.id), row)
  }

  addLink(userId: string, conversationId: string, seq: number, link: Link): void {
    const key = keyOf(userId, conversationId)
    this.#links.set(`${seq} ${key}`, link)
    this.#lowest.set(key, Math.min(seq, this.#lowest.get(key) ?? seq))
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

  /**
   * The same of a history whose first messages may have expired: what came before the first that is left is not known, and
   * nothing that is sent from now on will be found to continue it. Undefined when a message is missing in between.
   */
  async linkOrLost(userId: string, conversationId: string, seq: number): Promise<Link | undefined> {
    const link = await this.linkAt(userId, conversationId, seq)
    if (link !== undefined) return link
    for (let id: string | null = conversationId, upTo = seq; id !== null; ) {
      const conversation: KnownConversation | undefined = await this.conversation(userId, id)
      if (conversation === undefined) break
      if (await this.#hasMessageBefore(userId, id, upTo)) return undefined
      upTo = Math.min(upTo, (conversation.parent_seq ?? -1) + 1)
      id = conversation.parent_id
    }
    return lost
  }

  async #hasMessageBefore(userId: string, conversationId: string, seq: number): Promise<boolean> {
    const key = keyOf(userId, conversationId)
    if ((this.#lowest.get(key) ?? seq) < seq) return true
    const row = await this.#database.kysely
      .selectFrom('messages')
      .select('seq')
      .where('conversation_id', '=', conversationId)
      .where('user_id', '=', userId)
      .where('seq', '<', seq)
      .limit(1)
      .executeTakeFirst()
    return row !== undefined
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
