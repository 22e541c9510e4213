import type { StatementSync } from 'node:sqlite'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'
import type { SqliteConnection } from './connection.ts'

/**
 * IMMEDIATE takes the write lock at once: a deferred transaction that has read cannot wait for it later. One that only
 * reads needs none.
 */
export type BeginStatement = 'BEGIN IMMEDIATE' | 'BEGIN DEFERRED'

/** Kysely over `node:sqlite`: one connection, handed to one holder at a time. */
export function sqliteDialect(
  connection: SqliteConnection,
  begin: BeginStatement = 'BEGIN IMMEDIATE',
): Dialect {
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => sqliteDriver(connection, begin),
    createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
}

function sqliteDriver(connection: SqliteConnection, begin: BeginStatement): Driver {
  const releases = new WeakMap<DatabaseConnection, () => void>()
  const run = async (sql: string) => void (await connection.attempt(() => connection.prepare(sql).run()))
  return {
    init: async () => undefined,
    acquireConnection: () =>
      new Promise(resolve => {
        void connection.hold(
          () =>
            new Promise<void>(release => {
              const holder = databaseConnection(connection)
              releases.set(holder, release)
              resolve(holder)
            }),
        )
      }),
    beginTransaction: () => run(begin),
    commitTransaction: () => run('COMMIT'),
    rollbackTransaction: async () => connection.rollBack(),
    releaseConnection: async holder => releases.get(holder)?.(),
    destroy: async () => connection.close(),
  }
}

const withRows = new WeakMap<StatementSync, boolean>()

/** Whether a statement gives rows. Asked once: describing its columns takes longer than many a look-up. */
function givesRows(statement: StatementSync): boolean {
  let known = withRows.get(statement)
  if (known === undefined) {
    known = statement.columns().length > 0
    withRows.set(statement, known)
  }
  return known
}

function databaseConnection(connection: SqliteConnection): DatabaseConnection {
  return {
    executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
      const values = parameters as (string | number | null | Uint8Array)[]
      return connection.attempt((): QueryResult<R> => {
        const statement = connection.prepare(sql)
        if (givesRows(statement)) return { rows: statement.all(...values) as R[] }
        const { changes, lastInsertRowid } = statement.run(...values)
        return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) }
      })
    },
    async *streamQuery<R>({ sql, parameters }: CompiledQuery): AsyncGenerator<QueryResult<R>> {
      const values = parameters as (string | number | null | Uint8Array)[]
      for (const row of connection.prepare(sql).iterate(...values)) yield { rows: [row as R] }
    },
  }
}
