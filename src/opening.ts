import { type AuditPlacesOptions, type OpenedPlaces, openAuditPlaces } from './audit/places/service.ts'
import type { Database, DatabaseSettings } from './db/database.ts'
import { newId } from './ids.ts'
import { masterKeyPath } from './privacy/master-key.ts'
import type { MasterKeySource } from './privacy/master-keys.ts'
import { threadFollower } from './recorder/thread-follower.ts'
import type { WriterSetup } from './recorder/writer.ts'
import type { Store } from './store/contents.ts'

/** Where a store's master key is to come from. */
export interface MasterKeyOptions {
  readonly masterKey?: string | undefined
  readonly masterKeyCommand?: string | readonly string[] | undefined
  readonly previousMasterKeys?: readonly string[] | undefined
}

/** What of the options of a store concerns its database. */
export function databaseSettings({
  poolSize,
  maxOverflow,
  poolTimeout,
  commitTimeout,
  schema,
  search,
  onSql,
}: DatabaseSettings): DatabaseSettings {
  return { poolSize, maxOverflow, poolTimeout, commitTimeout, schema, search, onSql }
}

/**
 * The key file lives beside the database file; a database elsewhere has it in the working directory. It is made only
 * for a database that has no secrets yet: beside an older one a new key would just hide that the right one is missing.
 */
export function masterKeySource(
  { location }: Database,
  { masterKey, masterKeyCommand, previousMasterKeys: previous = [] }: MasterKeyOptions,
): MasterKeySource {
  if (masterKeyCommand !== undefined)
    return { from: { kind: 'command', command: masterKeyCommand }, previous }
  if (masterKey !== undefined) return { from: { kind: 'given', key: masterKey }, previous }
  if (location.keyFolder === undefined) return { from: { kind: 'random' }, previous }
  return { from: { kind: 'file', path: masterKeyPath(location.keyFolder) }, previous }
}

/** The places outside where the audit log is taken to. Files are written by a thread, where that can open the database too. */
export function openPlaces(
  database: Store,
  setup: Pick<WriterSetup, 'databaseUrl' | 'content'>,
  options: DatabaseSettings & { readonly auditPlaces?: AuditPlacesOptions | undefined },
): OpenedPlaces {
  const { onSql: _, ...settings } = databaseSettings(options)
  return openAuditPlaces({
    database,
    holder: newId('instance'),
    options: options.auditPlaces ?? {},
    followElsewhere: database.capabilities.isShared
      ? (folder, expected) => threadFollower({ ...setup, settings, folder, expected })
      : undefined,
  })
}
