import { auditPlacesOf } from '../audit-settings.ts'
import { auditOf, type Config, limitsOf, loadConfig, pricingOf, privacyOf, retentionOf } from '../config.ts'
import { type Database, type DatabaseSettings, openDatabase } from '../db/database.ts'
import { reasonOf, SteleError } from '../errors.ts'
import { openStele, type Stele } from '../stele.ts'
import { Failure } from './failure.ts'
import { OutputError, say } from './output.ts'

/** What every command takes. */
export interface GlobalOptions {
  readonly database?: string
  /** Go on where what is done cannot be put on record. */
  readonly unrecorded?: boolean
}

/** The settings of this run, the command line's own first. */
export function configOf({ database }: GlobalOptions): Config {
  return loadConfig({ databaseUrl: database })
}

/** Runs `work` on the store and closes it, whatever happens. Makes neither the database nor its tables. */
export async function withStele<R>(options: GlobalOptions, work: (stele: Stele) => Promise<R>): Promise<R> {
  const config = configOf(options)
  const url = config.databaseUrl
  const probe = openDatabase(url)
  requireExisting(probe)
  const stele = await asUnavailable(probe, { evenUnknown: true }, () =>
    openStele({
      ...settingsOf(config),
      databaseUrl: url,
      ...privacyOf(config),
      onStoreFailure: config.onStoreFailure,
      spoolFolder: config.spoolFolder,
      limits: limitsOf(config),
      retention: retentionOf(config),
      pricing: pricingOf(config),
      audit: auditOf(config),
      auditPlaces: { ...auditPlacesOf(config), compareOnly: true },
      migrate: false,
    }),
  )
  try {
    return await asUnavailable(stele.database, { evenUnknown: false }, () => work(stele))
  } finally {
    await stele.close()
  }
}

/** Runs `work` on the database alone and closes it, whatever happens. */
export async function withDatabase<R>(
  options: GlobalOptions,
  work: (database: Database) => Promise<R>,
  settings: DatabaseSettings = {},
): Promise<R> {
  const config = configOf(options)
  const database = openDatabase(config.databaseUrl, { ...settingsOf(config), ...settings })
  try {
    return await asUnavailable(database, { evenUnknown: true }, () => work(database))
  } finally {
    await database.close()
  }
}

/** @throws Failure when the database is a file that is not there: looking at it must not make it. */
export function requireExisting(database: Database): void {
  if (database.exists()) return
  throw new Failure(`There is no database at ${database.location.display} yet. Run: stele migrate up`)
}

export function settingsOf({
  poolSize,
  maxOverflow,
  poolTimeout,
  commitTimeout,
  schema,
  search,
  sqlEcho,
}: Config): DatabaseSettings {
  return {
    poolSize,
    maxOverflow,
    poolTimeout,
    commitTimeout,
    schema,
    search,
    onSql: sqlEcho ? say : undefined,
  }
}

/**
 * Runs `work` and puts what the database refuses into words. While a database is being opened, even a refusal that
 * is not an outage (a wrong password, an unknown name) means that it cannot be used.
 */
export async function asUnavailable<R>(
  database: Database,
  { evenUnknown }: { evenUnknown: boolean },
  work: () => Promise<R>,
): Promise<R> {
  try {
    return await work()
  } catch (error) {
    if (isOwn(error) || !(evenUnknown || database.classify(error) === 'unavailable')) throw error
    throw new SteleError(
      'store_unavailable',
      { reason: `${database.location.display}: ${reasonOf(error)}` },
      { cause: error },
    )
  }
}

/** Errors that are not the database's: expected ones, and mistakes of this program. */
function isOwn(error: unknown): boolean {
  const mistakes = [TypeError, RangeError, ReferenceError, SyntaxError]
  return [SteleError, Failure, OutputError, ...mistakes].some(kind => error instanceof kind)
}
