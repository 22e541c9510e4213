import { describe, expect, test } from 'vitest'
import { parseDatabaseUrl } from '../../src/db/database-url.ts'
import type { SteleError } from '../../src/errors.ts'
import { failure } from '../harness/errors.ts'

describe('SQLite', () => {
  test.for<[url: string, path: string, keyFolder: string, display: string]>([
    ['sqlite:.stele/stele.db', '.stele/stele.db', '.stele', './.stele/stele.db'],
    ['sqlite:stele.db', 'stele.db', '.', './stele.db'],
    ['sqlite:./data/stele.db', './data/stele.db', './data', './data/stele.db'],
    ['sqlite:../stele.db', '../stele.db', '..', './../stele.db'],
    ['sqlite:/var/lib/stele.db', '/var/lib/stele.db', '/var/lib', '/var/lib/stele.db'],
    ['SQLite:stele.db', 'stele.db', '.', './stele.db'],
    ['  sqlite:stele.db\n', 'stele.db', '.', './stele.db'],
    ['sqlite:///relative/stele.db', 'relative/stele.db', 'relative', './relative/stele.db'],
    ['sqlite:////var/lib/stele.db', '/var/lib/stele.db', '/var/lib', '/var/lib/stele.db'],
    ['sqlite+aiosqlite:///./chat.db', './chat.db', '.', './chat.db'],
    ['sqlite+pysqlite:////tmp/chat.db', '/tmp/chat.db', '/tmp', '/tmp/chat.db'],
    ['sqlite:///stele.db?check_same_thread=false', 'stele.db', '.', './stele.db'],
    ['sqlite:with%20space%23.db', 'with space#.db', '.', './with space#.db'],
  ])('%s is the file %s', ([url, path, keyFolder, display]) => {
    expect(parseDatabaseUrl(url)).toEqual({ kind: 'sqlite', path, inMemory: false, keyFolder, display })
  })

  test.for([
    'sqlite::memory:',
    'sqlite://',
    'sqlite:///',
    'sqlite:///:memory:',
    'sqlite+aiosqlite://',
    'sqlite+aiosqlite:///:memory:',
  ])('%s is in memory and leaves no key behind', url => {
    expect(parseDatabaseUrl(url)).toEqual({
      kind: 'sqlite',
      path: ':memory:',
      inMemory: true,
      keyFolder: undefined,
      display: 'sqlite::memory:',
    })
  })
})

describe('PostgreSQL', () => {
  test.for<[url: string, connectionString: string, display: string]>([
    [
      'postgres://u:p@db.example:5433/stele',
      'postgres://u:p@db.example:5433/stele',
      'postgres://db.example:5433/stele',
    ],
    ['postgresql://u:p@db/stele', 'postgres://u:p@db/stele', 'postgres://db/stele'],
    ['postgresql+asyncpg://u:p@db/stele', 'postgres://u:p@db/stele', 'postgres://db/stele'],
    ['postgresql+psycopg://u:p@db/stele', 'postgres://u:p@db/stele', 'postgres://db/stele'],
    ['postgresql+psycopg2://u@db/stele', 'postgres://u@db/stele', 'postgres://db/stele'],
    ['POSTGRES://u:p@db/stele', 'postgres://u:p@db/stele', 'postgres://db/stele'],
    ['postgres://u:p%40%2F%3A@db/stele', 'postgres://u:p%40%2F%3A@db/stele', 'postgres://db/stele'],
    ['postgres://u:p@[::1]:5432/stele', 'postgres://u:p@[::1]:5432/stele', 'postgres://[::1]:5432/stele'],
    [
      'postgres://u:p@db/stele?sslmode=verify-full',
      'postgres://u:p@db/stele?sslmode=verify-full',
      'postgres://db/stele',
    ],
  ])('%s', ([url, connectionString, display]) => {
    expect(parseDatabaseUrl(url)).toEqual({
      kind: 'postgres',
      connectionString,
      display,
      keyFolder: '.stele',
    })
  })

  test.for([
    ['ssl=require', 'sslmode=require'],
    ['ssl=true', 'sslmode=require'],
    ['ssl=verify-full', 'sslmode=verify-full'],
    ['ssl=require&sslmode=disable', 'ssl=require&sslmode=disable'],
  ])("asyncpg's %s becomes %s", ([given, expected]) => {
    const location = parseDatabaseUrl(`postgresql+asyncpg://u:p@db/stele?${given}`)
    expect(location).toMatchObject({ connectionString: `postgres://u:p@db/stele?${expected}` })
  })
})

describe('what cannot be used', () => {
  test.for([
    ['', 'sqlite: or postgres://'],
    ['stele.db', 'sqlite: or postgres://'],
    ['mysql://root:s3cr3t@db/stele', "'mysql' is not supported"],
    ['http://s3cr3t@db/stele', "'http' is not supported"],
    ['sqlite:', 'path is missing'],
    ['sqlite://stele.db', 'three slashes'],
    ['sqlite:%E0%A4%A', 'broken % escape'],
    ['postgres:stele', 'name a host and a database'],
    ['postgres://u:s3cr3t@db', 'name a host and a database'],
    ['postgres://u:s3cr3t@db/', 'name a host and a database'],
    ['postgres://u:s3cr3t@db:port/stele', 'not a valid URL'],
    ['postgres://u:s3cr3t with space@db:99999/stele', 'not a valid URL'],
    ['postgresql+asyncpg://u:s3cr3t/x@db/stele', 'not a valid URL'],
    ['postgres://u:12/s3cr3t@db/stele', 'name a host and a database'],
  ])('%j: %s', async ([url, reason]) => {
    const error: SteleError = await failure('database_url_invalid', () => parseDatabaseUrl(url ?? ''))
    expect(error.message).toContain(reason)
    expect(JSON.stringify([error.message, error.details, error.stack])).not.toContain('s3cr3t')
  })

  test('no display ever holds a password', () => {
    for (const password of ['s3cr3t', 'p%40ss', 'x%2Fy', '1']) {
      expect(parseDatabaseUrl(`postgres://ada:${password}@db/stele?password=${password}`).display).toBe(
        'postgres://db/stele',
      )
    }
  })
})
