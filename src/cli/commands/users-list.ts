import type { User } from '../../store/users.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { outputWidth, say, write, writeJson } from '../output.ts'
import { printableLine } from '../printable.ts'
import { toRecord } from '../record.ts'
import { type Column, formatTable } from '../table.ts'
import { none, timeText } from '../values.ts'

export interface ListUsersOptions extends GlobalOptions {
  readonly limit: number
  readonly after?: string
  readonly json?: boolean
}

const columns: readonly Column<User>[] = [
  { title: 'ID', text: ({ id }) => id },
  { title: 'ROLE', text: ({ role }) => role },
  { title: 'STATUS', text: ({ status }) => status },
  { title: 'USERNAME', text: ({ username }) => username ?? none, elastic: true },
  { title: 'EMAIL', text: ({ email }) => email ?? none, elastic: true },
  { title: 'CREATED', text: ({ created_at }) => timeText(created_at) },
]

/** Lists users in order of their ids. */
export async function listUsers(options: ListUsersOptions): Promise<void> {
  const { limit, after, json } = options
  const users = await withStele(options, stele =>
    stele.users.list({ limit, ...(after === undefined ? {} : { after }) }),
  )
  if (json === true) return writeJson(users.map(toRecord))
  if (users.length === 0) return say('No users.')
  await write(formatTable(columns, users, outputWidth()))
  if (users.length === limit) say(`There may be more: --after '${printableLine(users.at(-1)?.id ?? '')}'`)
}
