import { dirname, isAbsolute } from 'node:path'
import { SteleError } from '../errors.ts'

interface Location {
  /** The database in words, without secrets. */
  readonly display: string
  /** Where a key file for it belongs; undefined when nothing of it outlives the process. */
  readonly keyFolder: string | undefined
}

export type DatabaseLocation =
  | (Location & { readonly kind: 'sqlite'; readonly path: string; readonly inMemory: boolean })
  | (Location & { readonly kind: 'postgres'; readonly connectionString: string })

export const defaultDatabaseUrl = 'sqlite:.stele/stele.db'

const memoryPath = ':memory:'

/**
 * Reads a database URL. Beside Stele's own forms (`sqlite:path`, `sqlite::memory:`, `postgres://…`) it takes
 * SQLAlchemy's, where three slashes start a relative path, four an absolute one, and a driver may follow a plus sign.
 * @throws SteleError database_url_invalid; the message never holds the URL's password.
 */
export function parseDatabaseUrl(url: string): DatabaseLocation {
  const match = /^([a-z0-9]+)(?:\+[a-z0-9_]+)?:(.*)$/is.exec(url.trim())
  if (match === null) throw invalid('it must start with sqlite: or postgres://')
  const [, scheme = '', rest = ''] = match
  switch (scheme.toLowerCase()) {
    case 'sqlite':
      return sqliteLocation(rest)
    case 'postgres':
    case 'postgresql':
      return postgresLocation(rest)
    default:
      throw invalid(`the scheme '${scheme}' is not supported; use sqlite: or postgres://`)
  }
}

function sqliteLocation(rest: string): DatabaseLocation {
  const path = decodeURIComponentSafely(rest.replace(/^\/\/\/?/, '').replace(/\?.*$/s, ''))
  if (rest.startsWith('//') && !rest.startsWith('///') && path !== '') {
    throw invalid('sqlite:// takes three slashes before a relative path, four before an absolute one')
  }
  const inMemory = path === memoryPath || (path === '' && rest.startsWith('//'))
  if (inMemory)
    return { kind: 'sqlite', path: memoryPath, inMemory, display: 'sqlite::memory:', keyFolder: undefined }
  if (path === '') throw invalid('the path is missing')
  const display = isAbsolute(path) ? path : `./${path.replace(/^\.\//, '')}`
  return { kind: 'sqlite', path, inMemory, display, keyFolder: dirname(path) }
}

function postgresLocation(rest: string): DatabaseLocation {
  let url: URL
  try {
    url = new URL(`postgres:${rest}`)
  } catch {
    throw invalid('it is not a valid URL')
  }
  // More than one segment means a slash in the password that is not escaped, and the rest of it where it would be shown.
  if (!rest.startsWith('//') || !/^\/[^/@]+$/.test(url.pathname)) {
    throw invalid('name a host and a database: postgres://user:password@host:5432/database')
  }
  // asyncpg spells libpq's sslmode so.
  const ssl = url.searchParams.get('ssl')
  if (ssl !== null && !url.searchParams.has('sslmode')) {
    url.searchParams.delete('ssl')
    url.searchParams.set('sslmode', ssl === 'true' ? 'require' : ssl)
  }
  return {
    kind: 'postgres',
    connectionString: url.href,
    display: `postgres://${url.hostname}${url.port === '' ? '' : `:${url.port}`}${url.pathname}`,
    keyFolder: '.stele',
  }
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('the path has a broken % escape')
  }
}

function invalid(reason: string): SteleError {
  return new SteleError('database_url_invalid', { reason })
}
