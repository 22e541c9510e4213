import type { Database, DatabaseSettings } from './db/database.ts'
import { masterKeyPath } from './privacy/master-key.ts'
import type { MasterKeySource } from './privacy/master-keys.ts'
import type { SteleOptions } from './stele.ts'

export function databaseSettings({
  poolSize,
  maxOverflow,
  poolTimeout,
  commitTimeout,
  schema,
  search,
  onSql,
}: SteleOptions): DatabaseSettings {
  return { poolSize, maxOverflow, poolTimeout, commitTimeout, schema, search, onSql }
}

/**
 * The key file lives beside the database file; a database elsewhere has it in the working directory. It is made only
 * for a database that has no secrets yet: beside an older one a new key would just hide that the right one is missing.
 */
export function masterKeySource(
  { location }: Database,
  { masterKey, masterKeyCommand, previousMasterKeys: previous = [] }: SteleOptions,
): MasterKeySource {
  if (masterKeyCommand !== undefined)
    return { from: { kind: 'command', command: masterKeyCommand }, previous }
  if (masterKey !== undefined) return { from: { kind: 'given', key: masterKey }, previous }
  if (location.keyFolder === undefined) return { from: { kind: 'random' }, previous }
  return { from: { kind: 'file', path: masterKeyPath(location.keyFolder) }, previous }
}
