import type { Database } from '../../db/database.ts'
import { SteleError } from '../../errors.ts'
import { checkUserId } from '../../store/users.ts'
import type { LineOf, RecordLine } from '../export-format.ts'
import { problemOf } from './check.ts'
import type { Tally } from './report.ts'
import type { Sink } from './sink.ts'
import type { SourceItem } from './source.ts'

/** Records written in one transaction unless told otherwise, or so many characters of what was said in them. */
const usualBatch = 500
const batchCharacters = 8 * 1024 * 1024

/** Writes what a source holds, and keeps count of every row. */
export class ForeignWriter {
  readonly #database: Database
  readonly #sink: Sink
  readonly #tally: Tally
  readonly #batchRecords: number
  /** The items that wait, by the numbers of their records. */
  #pending = new Map<number, SourceItem>()
  #waiting: SourceItem[] = []
  #characters = 0
  #line = 0
  /** The number of the last record that is written. */
  #writtenLine = 0
  #uncounted = new Set<number>()
  #lastConversation: string | undefined
  /** Conversations that wait, and session ids that they take. */
  #conversations = new Set<string>()
  #sessions = new Map<string, string>()
  /** Users who are somebody else here. */
  readonly #strangers = new Set<string>()

  constructor(database: Database, sink: Sink, tally: Tally, batchRecords = usualBatch) {
    this.#batchRecords = batchRecords
    this.#database = database
    this.#sink = sink
    this.#tally = tally
  }

  async take(item: SourceItem): Promise<void> {
    this.#tally.see(item)
    if (item.skipped !== undefined) return this.#tally.skipped(item, item.skipped)
    // What is written of a conversation must be there before it is said to go on.
    const goesOn = item.records.some(
      record => record.type === 'conversation' && this.#conversations.has(record.id),
    )
    if (goesOn) await this.flush()
    try {
      for (const record of item.records) await this.#add(item, record)
      this.#waiting.push(item)
    } catch (error) {
      this.#tally.skipped(item, reasonOfRecord(error))
      this.#drop(item)
    }
    if (this.#line - this.#writtenLine >= this.#batchRecords || this.#characters >= batchCharacters)
      await this.flush()
  }

  /** Writes what waits. */
  async flush(): Promise<void> {
    const pending = this.#pending
    const waiting = this.#waiting
    const uncounted = this.#uncounted
    this.#pending = new Map()
    this.#waiting = []
    this.#uncounted = new Set()
    this.#characters = 0
    this.#writtenLine = this.#line
    this.#conversations.clear()
    this.#sessions.clear()
    const { written, problems } = await this.#sink.flush()
    const refused = new Map<SourceItem, string>()
    for (const { line, reason } of problems) {
      const item = pending.get(line)
      if (item !== undefined && !refused.has(item)) refused.set(item, reason)
    }
    for (const item of waiting) {
      const reason = refused.get(item)
      if (reason === undefined) this.#tally.mapped(item)
      else this.#tally.skipped(item, reason)
    }
    this.#tally.imported += written.length
    const fresh = new Set(written)
    const bad = new Set(problems.map(({ line }) => line))
    for (const line of pending.keys())
      if (!fresh.has(line) && !bad.has(line) && !uncounted.has(line)) this.#tally.present++
  }

  async #add(item: SourceItem, given: RecordLine): Promise<void> {
    const userId = given.type === 'user' ? given.id : 'user_id' in given ? given.user_id : ''
    checkUserId(userId, 'user_id')
    if (given.type === 'user' && (await this.#isStranger(given))) this.#strangers.add(userId)
    if (this.#strangers.has(userId))
      throw new SteleError('import_invalid', {
        line: this.#line,
        reason: 'its user has the id of somebody else here; --source-name keeps them apart',
      })
    const record = given.type === 'conversation' ? await this.#withFreeSession(given) : given
    // Messages were looked at when they got their places.
    const problem = record.type === 'message' ? undefined : problemOf(record)
    if (problem !== undefined) throw new SteleError('import_invalid', { line: this.#line, reason: problem })
    const line = ++this.#line
    await this.#sink.add(line, record)
    this.#pending.set(line, item)
    if (record.type === 'conversation') {
      // A long conversation comes in parts, each with the same record.
      if (record.id === this.#lastConversation) this.#uncounted.add(line)
      this.#lastConversation = record.id
      this.#conversations.add(record.id)
    }
    if (record.type === 'message') this.#characters += record.message?.length ?? 0
  }

  /** What was taken of an item that cannot be kept whole is written all the same, but is not counted for its row. */
  #drop(item: SourceItem): void {
    for (const [line, owner] of this.#pending) if (owner === item) this.#uncounted.add(line)
  }

  /** Whether a user of this id is another person here: both have an address and a beginning of their own. */
  async #isStranger({ id, email, created_at }: LineOf<'user'>): Promise<boolean> {
    if (email === null) return false
    const here = await this.#database.kysely
      .selectFrom('users')
      .select(['email', 'created_at'])
      .where('id', '=', id)
      .executeTakeFirst()
    return here !== undefined && here.email !== null && here.email !== email && here.created_at !== created_at
  }

  /** A session id stands for one conversation of a user; one that is taken is left to whoever has it. */
  async #withFreeSession(record: LineOf<'conversation'>): Promise<LineOf<'conversation'>> {
    const { user_id, session_id, id } = record
    if (session_id === null || record.deleted_at !== null) return record
    const key = JSON.stringify([user_id, session_id])
    const here = await this.#database.kysely
      .selectFrom('conversations')
      .select('id')
      .where('user_id', '=', user_id)
      .where('session_id', '=', session_id)
      .where('deleted_at', 'is', null)
      .executeTakeFirst()
    const owner = here?.id ?? this.#sessions.get(key) ?? id
    if (owner === id) {
      this.#sessions.set(key, id)
      return record
    }
    this.#tally.note(
      'conversations: their session id is that of another conversation here; imported without it',
      1,
    )
    return { ...record, session_id: null }
  }
}

/** What is wrong with a record; whatever is wrong with the database is thrown. */
function reasonOfRecord(error: unknown): string {
  if (!(error instanceof SteleError)) throw error
  if (error.code === 'import_invalid') return String(error.details['reason'])
  if (error.status < 500 || error.code === 'content_unreadable') return error.message
  throw error
}
