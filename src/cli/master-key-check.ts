import { existsSync } from 'node:fs'
import type { Config } from '../config.ts'
import type { Database, Finding } from '../db/database.ts'
import { parseDatabaseUrl } from '../db/database-url.ts'
import { reasonOf } from '../errors.ts'
import { type MasterKey, masterKeyPath, parseMasterKey, readMasterKeyFile } from '../privacy/master-key.ts'
import { LoadedMasterKeys } from '../privacy/master-keys.ts'
import { checkSecrets } from '../store/secrets.ts'

const name = 'master key'

/**
 * Whether the master key can be read and opens what the database holds; without a database, whether it can be read.
 * Makes no key: a new one beside an old database would only hide that the right one is missing.
 */
export async function examineMasterKey(config: Config, database: Database | undefined): Promise<Finding> {
  try {
    const { keys, source } = readKeys(config)
    const state =
      database === undefined
        ? undefined
        : keys.length === 0
          ? await stateWithoutKey(database)
          : await checkSecrets(database, keys)
    if (keys.length === 0) {
      return state === 'mismatch'
        ? { name, value: `${source} is missing, and the database was made with one`, ok: false }
        : { name, value: `${source} is not there yet; it is made at first use`, ok: true }
    }
    if (state === 'mismatch')
      return { name, value: `${source} is not the key this database was made with`, ok: false }
    if (state === 'incomplete')
      return { name, value: 'the first secret of this database is gone: nothing is opened', ok: false }
    return {
      name,
      value: state === 'opens' ? `${source} opens this database` : `${source} is usable`,
      ok: true,
    }
  } catch (error) {
    return { name, value: reasonOf(error), ok: false }
  }
}

function readKeys(config: Config): { keys: readonly MasterKey[]; source: string } {
  const { masterKey, masterKeyCommand, previousMasterKeys: previous = [], databaseUrl } = config
  if (masterKeyCommand !== undefined) {
    const source = { from: { kind: 'command', command: masterKeyCommand }, previous } as const
    return { keys: new LoadedMasterKeys(source).all, source: 'STELE_MASTER_KEY_COMMAND' }
  }
  const others = previous.map(parseMasterKey)
  if (masterKey !== undefined)
    return { keys: [parseMasterKey(masterKey), ...others], source: 'STELE_MASTER_KEY' }
  const { keyFolder } = parseDatabaseUrl(databaseUrl)
  if (keyFolder === undefined) return { keys: [], source: 'a key' }
  const path = masterKeyPath(keyFolder)
  return { keys: existsSync(path) ? [...readMasterKeyFile(path), ...others] : [], source: path }
}

/** No key opens a database that holds secrets, which is how their presence is told. */
function stateWithoutKey(database: Database): ReturnType<typeof checkSecrets> {
  return checkSecrets(database, [])
}
