import pg from 'pg'
import type { Parameter } from './postgres-encodings.ts'
import { say } from './report.ts'

export interface PreparedCall {
  readonly name: string
  readonly sql: string
  readonly parameters: readonly Parameter[]
}

/** One connection that runs a list of statements as one durable transaction. */
export interface Session {
  transaction(calls: readonly PreparedCall[]): Promise<void>
  close(): Promise<void>
}

export interface Driver {
  readonly name: string
  /** Sends `Buffer` parameters in binary format. */
  readonly binaryParameters: boolean
  connect(url: string): Promise<Session>
}

/** `pg`, one round trip per statement: as Kysely and most code drive it. */
const pgSequential: Driver = {
  name: 'pg',
  binaryParameters: true,
  async connect(url) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', error => say(`connection lost: ${error.message}`))
    await client.connect()
    return {
      async transaction(calls) {
        await client.query('BEGIN')
        for (const call of calls)
          await client.query({ name: call.name, text: call.sql, values: [...call.parameters] })
        await client.query('COMMIT')
      },
      close: () => client.end(),
    }
  },
}

/**
 * `pg` with its `pipeline` option: the transaction goes out whole, in one round trip. After a failed statement
 * the server refuses the rest and turns COMMIT into ROLLBACK, so atomicity does not depend on waiting in between.
 */
export const pgPipelined: Driver = {
  name: 'pg pipeline',
  binaryParameters: true,
  async connect(url) {
    const client = new pg.Client({ connectionString: url, pipeline: true })
    client.on('error', error => say(`connection lost: ${error.message}`))
    await client.connect()
    return {
      async transaction(calls) {
        await Promise.all([
          client.query('BEGIN'),
          ...calls.map(call =>
            client.query({ name: call.name, text: call.sql, values: [...call.parameters] }),
          ),
          client.query('COMMIT'),
        ])
      },
      close: () => client.end(),
    }
  },
}

/** `postgres` through `sql.begin`: BEGIN and COMMIT are round trips of their own, what is between is pipelined. */
const postgresBegin: Driver = {
  name: 'postgres begin',
  binaryParameters: false,
  async connect(url) {
    const { default: postgres } = await import('postgres')
    const sql = postgres(url, { max: 1 })
    await sql`SELECT 1`
    return {
      async transaction(calls) {
        await sql.begin(tx => calls.map(call => tx.unsafe(call.sql, mutable(call), { prepare: true })))
      },
      close: () => sql.end(),
    }
  },
}

/** `postgres` on a reserved connection, BEGIN and COMMIT pipelined with the rest. */
const postgresReserved: Driver = {
  name: 'postgres pipeline',
  binaryParameters: false,
  async connect(url) {
    const { default: postgres } = await import('postgres')
    const sql = postgres(url, { max: 1 })
    const reserved = await sql.reserve()
    return {
      async transaction(calls) {
        await Promise.all([
          reserved.unsafe('BEGIN', [], { prepare: true }).execute(),
          ...calls.map(call => reserved.unsafe(call.sql, mutable(call), { prepare: true }).execute()),
          reserved.unsafe('COMMIT', [], { prepare: true }).execute(),
        ])
      },
      async close() {
        reserved.release()
        await sql.end()
      },
    }
  },
}

const mutable = (call: PreparedCall): (string | Buffer | (string | number | Buffer)[])[] =>
  call.parameters.map(p => (typeof p === 'string' || Buffer.isBuffer(p) ? p : [...(p as readonly string[])]))

export const drivers: readonly Driver[] = [pgSequential, pgPipelined, postgresBegin, postgresReserved]
