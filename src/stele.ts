import { sql } from 'kysely'
import { grantStore } from './access/grants.ts'
import { loginLibrary } from './access/logins.ts'
import { startUsageJob } from './analytics/job.ts'
import { createUsage, type Usage } from './analytics/service.ts'
import { auditEventLibrary, auditLogger } from './audit/events/logger.ts'
import { auditLibrary } from './audit/library.ts'
import { ensureLog, openLogGuard } from './audit/log/beginning.ts'
import { type AuditLog, openAuditLog } from './audit/log/service.ts'
import type { AuditPlaces, OpenedPlaces } from './audit/places/service.ts'
import { AnswerCache } from './cache/cache.ts'
import { openDatabase } from './db/database.ts'
import { defaultDatabaseUrl } from './db/database-url.ts'
import { migrateToRecord, migrateUp, requireCurrentSchema } from './db/migrate.ts'
import { documentLibrary } from './documents/library.ts'
import { createErasure } from './erasure/service.ts'
import { reasonOf } from './errors.ts'
import { newId } from './ids.ts'
import { contextSnapshotLibrary } from './library/context-snapshots.ts'
import { conversationItemLibrary } from './library/conversation-items.ts'
import { conversationLibrary } from './library/conversations.ts'
import { messageLibrary } from './library/messages.ts'
import { tellingFailures } from './library/told-failures.ts'
import { userLibrary } from './library/users.ts'
import { LimitBook } from './limits/book.ts'
import { Reserver } from './limits/reserve.ts'
import { checkLimits, createLimits, type Limits } from './limits/service.ts'
import { limitStore } from './limits/store.ts'
import type { SettledCall } from './model/call.ts'
import { ConversationHashes } from './model/hashes.ts'
import { type BackupContents, type BackupOptions, backUp } from './moving/backup.ts'
import { refuseUnfinishedCopy } from './moving/copy-state.ts'
import { checkKeyFile, strikeFromKeyFile } from './moving/key-file.ts'
import { databaseSettings, masterKeySource, openPlaces } from './opening.ts'
import { Accounting } from './pricing/accounting.ts'
import { costLibrary } from './pricing/costs.ts'
import { checkOverrides } from './pricing/overrides.ts'
import { checkSellers } from './pricing/sellers.ts'
import { LoadedMasterKeys } from './privacy/master-keys.ts'
import { accessSteps } from './recorder/access-steps.ts'
import { type Interaction, interactionParts } from './recorder/interaction.ts'
import { type MeasuredWriter, measuredWriter } from './recorder/measured-writer.ts'
import { Recorder } from './recorder/recorder.ts'
import { type SearchResult, searchRecord } from './recorder/search.ts'
import { defaultSpoolFolder, defaultSpoolLimit } from './recorder/spool-paths.ts'
import { SpoolingWriter } from './recorder/spooling-writer.ts'
import { stepsOf } from './recorder/steps.ts'
import { threadWriter } from './recorder/thread-writer.ts'
import { directWriter, type Writer, type WriterSetup } from './recorder/writer.ts'
import { checkPeriods } from './retention/periods.ts'
import { createRetention, type Retention } from './retention/service.ts'
import type { SteleOptions } from './stele-options.ts'
import { apiKeyStore } from './store/api-keys.ts'
import { noteWithoutKeys, notingSchema, operator } from './store/audit-events.ts'
import { auditReader } from './store/audit-reading.ts'
import { callStore } from './store/calls.ts'
import { Contents, type Store } from './store/contents.ts'
import type { SearchInput } from './store/search.ts'
import { storeSearchTokens } from './store/search-keys.ts'
import { type FindMaster, hasOldContent, openEventSecret, openSecret } from './store/secrets.ts'
import { storeFailure } from './store-failure.ts'
import { openTelemetryWatcher } from './telemetry/open-telemetry.ts'

/** Milliseconds that closing may take to get events into their log: what is left is taken by whoever opens the store next. */
const sequencingTime = 3_000

type Erasure = ReturnType<typeof createErasure>

/** A store and its recorder. */
export interface Stele {
  readonly database: Store
  readonly recorder: Recorder
  /** Tells how commits go. */
  readonly commits: Pick<MeasuredWriter, 'listen'>
  readonly users: ReturnType<typeof userLibrary>
  readonly apiKeys: ReturnType<typeof apiKeyStore>
  /** Accounts with passwords, and the sessions of those who are logged in. */
  readonly logins: ReturnType<typeof loginLibrary>
  /** What lets administrators read what is stored of others, for a while. */
  readonly grants: ReturnType<typeof grantStore>
  /** What happened and who did it. */
  readonly auditEvents: ReturnType<typeof auditEventLibrary>
  /** What applications put on record themselves. */
  readonly auditLogger: ReturnType<typeof auditLogger>
  /** The log that proves them. */
  readonly auditLog: AuditLog
  /** Where the log is taken to, outside the database. */
  readonly auditPlaces: AuditPlaces
  /** Verifies that log, and makes proofs for others to verify. */
  readonly audit: ReturnType<typeof auditLibrary>
  readonly conversations: ReturnType<typeof conversationLibrary>
  readonly messages: ReturnType<typeof messageLibrary>
  readonly conversationItems: ReturnType<typeof conversationItemLibrary>
  readonly contextSnapshots: ReturnType<typeof contextSnapshotLibrary>
  readonly calls: ReturnType<typeof callStore>
  /** What calls cost, and why; prices that were not known can be filled in later. */
  readonly costs: ReturnType<typeof costLibrary>
  /** Document types, and the documents that were made. */
  readonly documents: ReturnType<typeof documentLibrary>
  /** The master keys that this process has. */
  readonly masterKeys: LoadedMasterKeys
  /** Keyed hashes of this store, for finding a conversation or a prompt by its content. */
  readonly hashes: ConversationHashes
  /** How long what belongs to a user is kept, and letting go what has expired. */
  readonly retention: Retention
  /** Answers that may be given again. */
  readonly cache: AnswerCache
  /** What users, keys and models may take, and how much of it is used. */
  readonly limits: Limits
  /** What calls took and cost: reports, and the proof that they are right. */
  readonly usage: Usage
  /**
   * Erases a user: destroys the keys, which makes everything unreadable at once, and removes what was said, what it is found
   * by and what tells who it was. What calls took and cost stays, and so do audit events. Ended before it is done, it is
   * finished by erasing once more. @throws SteleError user_not_found, invalid_value, key_file_invalid, store_unavailable
   */
  readonly erase: Erasure['erase']
  /** Users whose erasure is to be finished, by erasing them once more. */
  readonly unfinishedErasures: Erasure['unfinishedErasures']
  /** What an erasure has left of a user, which should be nothing. @throws SteleError user_not_found, user_erasing */
  readonly verifyErasure: Erasure['verifyErasure']
  /** Records one finished exchange: the whole call in one transaction. */
  saveInteraction(interaction: Interaction): Promise<Pick<SettledCall, 'callId' | 'conversationId'>>
  /**
   * Searches the words of one user's messages, the best hits first. @throws SteleError invalid_value, search_disabled,
   * conversation_not_found
   */
  search(input: SearchInput): Promise<SearchResult>
  /** Resolves when the database answers. */
  ping(): Promise<void>
  /** Applies missing migrations. Returns their names. */
  migrate(): Promise<string[]>
  /**
   * Writes the state of this moment into one file that is checked before it gets its name; calls go on meanwhile.
   * The master key is not in it. @throws SteleError backup_elsewhere, would_overwrite, file_not_writable
   */
  backup(path: string, options?: BackupOptions): Promise<BackupContents>
  /** Waits until everything is committed, then lets go of the database. */
  close(): Promise<void>
}

/**
 * Opens a store. Makes the file, the key and the tables when they are missing.
 * @throws SteleError database_url_invalid, database_not_writable, database_damaged, database_foreign, database_unsuitable,
 * schema_newer, schema_missing, copy_unfinished, master_key_invalid, master_key_mismatch, store_unavailable, retention_invalid
 * @example
 * const stele = await openStele({ databaseUrl: 'sqlite:.stele/stele.db' })
 * await stele.saveInteraction({ userId: 'ada', model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }], responseText: 'Hello!' })
 * await stele.close()
 */
export async function openStele(options: SteleOptions = {}): Promise<Stele> {
  const databaseUrl = options.databaseUrl ?? defaultDatabaseUrl
  checkPeriods(options.retention ?? {})
  checkOverrides(options.pricing?.overrides ?? [])
  await checkSellers(options.pricing ?? {})
  checkLimits(options.limits ?? {})
  const database = openDatabase(databaseUrl, options)
  try {
    if (options.migrate === false) await requireCurrentSchema(database)
    else await migrateToRecord(database, notingSchema(database, 'schema.migrated'), options.onError)
    await refuseUnfinishedCopy(database)
    const masters = new LoadedMasterKeys(masterKeySource(database, options))
    const findMaster: FindMaster = id => (id === undefined ? masters.makeCurrent() : masters.find(id))
    const guard = await openLogGuard(database, findMaster, options.audit?.origin)
    const hashKey = guard.key.toString('base64url')
    const acceptsOld = await hasOldContent(database, findMaster, guard.isSealing)
    const eventSecret = await openEventSecret(database, findMaster, guard.isSealing)
    const spools = database.capabilities.mayBeAway && options.onStoreFailure !== 'refuse'
    const spoolKey = spools ? await openSecret(database, 'spool', findMaster) : undefined
    const mode = options.contentMode ?? 'encrypted'
    const sealing = { mode, acceptsOld, eventSecret }
    const store = { ...database, contents: new Contents({ masters, ...sealing }) }
    const origin = await ensureLog(store, findMaster, guard, options.audit?.origin)
    if (options.limits?.timeZone !== undefined) await limitStore(store).setTimeZone(options.limits.timeZone)
    const content = { masterKeys: masters.shared, ...sealing }
    const places = openPlaces(store, { databaseUrl, content }, options)
    const parts = { hashKey, spoolKey, content, masters, origin, places }
    const stele = assemble(store, databaseUrl, parts, options)
    await places.start()
    return stele
  } catch (error) {
    await database.close().catch(() => undefined)
    // Whoever opens it is told in full: it is they who have named the database.
    throw storeFailure(database, error, reasonOf(error))
  }
}

function assemble(
  database: Store,
  databaseUrl: string,
  {
    hashKey,
    spoolKey,
    content,
    masters,
    origin,
    places,
  }: Pick<WriterSetup, 'hashKey' | 'content'> & {
    spoolKey: Uint8Array | undefined
    masters: LoadedMasterKeys
    origin: string
    places: OpenedPlaces
  },
  options: SteleOptions,
): Stele {
  const hashes = new ConversationHashes(hashKey)
  const tokens = storeSearchTokens(database.contents)
  const instanceId = newId('instance')
  const { onSql: _, ...settings } = databaseSettings(options)
  const limits = createLimits(database)
  const caps = options.limits?.eachUser ?? {}
  const book = new LimitBook(caps)
  const writer: Writer = database.capabilities.blockingWrites
    ? threadWriter({ databaseUrl, settings, hashKey, caps, content })
    : directWriter({ database, hashes, tokens, limits: book, knownUsers: new Set() })
  const measured = measuredWriter(writer)
  const spooling =
    spoolKey &&
    new SpoolingWriter({
      writer: measured,
      folder: options.spoolFolder ?? defaultSpoolFolder,
      instanceId,
      key: spoolKey,
      limit: options.spoolLimit ?? defaultSpoolLimit,
      mayBegin: options.limits?.whenAway === 'allow' ? undefined : start => !book.mayApplyTo(start),
      onChange: options.onSpoolChange,
      onError: options.onError,
    })
  const { auditLog, stop: stopAuditLog } = openAuditLog({
    database,
    origin,
    doStep: stepsOf('audit', database, writer),
    isWanted: () => spooling?.state.isSpooling !== true && places.isTrusted(),
    sequence: options.audit?.sequence,
    places: places.checkpoints,
    onError: options.onError,
  })
  const accounting = new Accounting(options.pricing ?? {}, options.onError)
  const recorder = new Recorder({
    ...options,
    database,
    hashes,
    accounting,
    writer: spooling ?? measured,
    spooling,
    instanceId,
    reserver: new Reserver(options.limits ?? {}, {
      ready: () => accounting.prices(),
      mayCost: (call, usage) => accounting.mayCost(call, usage),
    }),
    removeOldCounters: limits.tidy,
    async lastWork() {
      await stopAuditLog(sequencingTime)
      await places.stop()
    },
  })
  recorder.watchers.add(openTelemetryWatcher())
  const told = tellingFailures(database)
  const doStep = stepsOf('retention', database, writer)
  const { onError } = options
  const events = { doStep: stepsOf('events', database, writer), reader: auditReader(database) }
  const cache = new AnswerCache({
    database,
    doStep: stepsOf('cache', database, writer),
    limits: options.cache,
    onError,
  })
  const usage = createUsage(database, stepsOf('usage', database, writer))
  const usageJob = startUsageJob(usage, {
    isWanted: () => measured.isUsed && recorder.spool?.isSpooling !== true,
    onError,
  })
  return {
    database,
    recorder,
    commits: measured,
    users: told(userLibrary(database, recorder)),
    apiKeys: told(apiKeyStore(database, hashes)),
    logins: told(loginLibrary(database, accessSteps(database, writer))),
    grants: told(grantStore(database)),
    auditEvents: told(auditEventLibrary(events)),
    auditLogger: told(auditLogger(events)),
    audit: told(auditLibrary(database)),
    auditLog: { ...told(auditLog), state: auditLog.state, hashes: auditLog.hashes },
    auditPlaces: places.places,
    conversations: told(conversationLibrary(database, recorder)),
    messages: told(messageLibrary(database, recorder)),
    conversationItems: told(conversationItemLibrary(database, recorder)),
    contextSnapshots: told(contextSnapshotLibrary(database, recorder)),
    calls: told(callStore(database)),
    costs: told(
      costLibrary({
        database,
        prices: () => accounting.prices(),
        doStep: stepsOf('reprice', database, writer),
      }),
    ),
    documents: told(documentLibrary(database, recorder)),
    limits: told(limits),
    masterKeys: masters,
    hashes,
    retention: told(
      createRetention({
        database,
        defaults: options.retention ?? {},
        doStep,
        holder: instanceId,
      }),
    ),
    usage: told(usage),
    ...told(
      createErasure({
        database,
        doStep: stepsOf('erasure', database, writer),
        doRetentionStep: doStep,
        ring: {
          forget(userId) {
            database.contents.ring.forget(userId)
            cache.forget(userId)
          },
        },
        spools: spooling,
        checkKeyFile,
        strike: strikeFromKeyFile,
      }),
    ),
    cache,
    async saveInteraction(interaction) {
      const { input, outcome } = interactionParts(interaction)
      const { callId, conversationId } = await recorder.record(input, outcome)
      return { callId, conversationId }
    },
    ...told({
      search: (input: SearchInput) => searchRecord({ database, recorder, tokens }, input),
      ping: async () => void (await sql`SELECT 1`.execute(database.prompt)),
    }),
    migrate: () => migrateUp(database, { onChange: notingSchema(database, 'schema.migrated') }),
    async backup(path, options) {
      await noteWithoutKeys(database, { userId: '', by: operator, action: 'record.backed_up' })
      return backUp(database, path, options)
    },
    async close() {
      await cache.close()
      await usageJob.stop()
      await recorder.close()
      await database.close()
    },
  }
}
