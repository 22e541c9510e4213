import type { Grant } from '../../access/grants.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { timeText } from '../values.ts'

export interface ListGrantsOptions extends GlobalOptions {
  readonly user?: string
  readonly admin?: string
  readonly after?: string
  readonly limit: number
  readonly json?: boolean
}

const columns: readonly Column<Grant>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'USER', text: ({ userId }) => userId, elastic: true },
  { title: 'ADMIN', text: ({ holder }) => holder, elastic: true },
  { title: 'STATE', text: stateOf },
  { title: 'MADE', text: ({ createdAt }) => timeText(createdAt) },
  { title: 'EXPIRES', text: ({ expiresAt }) => timeText(expiresAt) },
  { title: 'REASON', text: ({ reason }) => reason, elastic: true },
]

/** Lists break-glass grants, those that are over included. */
export async function listGrants(options: ListGrantsOptions): Promise<void> {
  const { user: userId, admin: holder, after, limit, json } = options
  const grants = await withStele(options, stele => stele.grants.list({ userId, holder, after, limit }))
  if (json === true) return writeJson(grants.map(grant => ({ ...toRecord(grant), state: stateOf(grant) })))
  if (grants.length === 0) return say('No grants.')
  await write(formatTable(columns, grants, outputWidth()))
}

function stateOf({ revokedAt, expiresAt }: Grant): string {
  if (revokedAt !== undefined) return 'revoked'
  return expiresAt <= Date.now() ? 'expired' : 'open'
}
