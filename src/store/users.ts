import type { Kysely } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { columnText, type JsonObject, keyText, objectFrom, pageLimit } from '../model/json-object.ts'
import type { Role } from '../model/permissions.ts'
import { type Actor, addEvents, eventRow, operator } from './audit-events.ts'
import type { Contents, Store } from './contents.ts'

export type User = Omit<Row<'users'>, 'preferences'> & { readonly preferences: JsonObject | null }

/** A user as a first call or `stele users create` makes it. */
export function newUserRow(
  id: string,
  createdAt: number,
  fields: Partial<Pick<User, 'email' | 'username' | 'role' | 'content_mode'>> = {},
): Omit<Row<'users'>, 'preferences'> & { preferences: null } {
  return {
    id,
    email: null,
    username: null,
    role: 'member',
    status: 'active',
    created_at: createdAt,
    deleted_at: null,
    preferences: null,
    content_mode: null,
    erased_at: null,
    ...fields,
  }
}

const longestField = 512

function checkedFields<T extends Partial<Pick<User, 'email' | 'username'>>>(fields: T): T {
  for (const name of ['email', 'username'] as const) {
    const value = fields[name]
    if (value != null) columnText(name, value, { least: 1, most: longestField })
  }
  return fields
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const controls = /[\u0000-\u001f\u007f-\u009f]/

/** @throws SteleError invalid_value when `id` cannot name a user */
export function checkUserId(id: unknown, param = 'user'): string {
  // Control characters: PostgreSQL cannot store NUL, and a terminal that lists users must not obey the rest.
  const isClean =
    typeof id === 'string' && id.length > 0 && id.length <= 256 && !controls.test(id) && id.isWellFormed()
  if (!isClean)
    throw new SteleError(
      'invalid_value',
      { name: param, reason: '1 to 256 characters, none of them a control character' },
      { param },
    )
  return id
}

/** What may become of somebody's access. */
export const userStatuses = ['active', 'suspended'] as const

export interface StandingChange {
  readonly role?: Role | undefined
  /** Somebody who is suspended is let in nowhere; what is theirs stays. */
  readonly status?: (typeof userStatuses)[number] | undefined
}

/** Makes a user in a transaction. @throws SteleError already_exists, invalid_value */
export async function insertUser(
  tx: Kysely<Tables>,
  contents: Contents,
  id: string,
  fields: Partial<Pick<User, 'email' | 'username' | 'role' | 'content_mode'>>,
  by: Actor,
): Promise<User> {
  const now = Date.now()
  const row = newUserRow(checkUserId(id), now, checkedFields(fields))
  const result = await tx
    .insertInto('users')
    .values(row)
    .onConflict(conflict => conflict.column('id').doNothing())
    .executeTakeFirst()
  if (Number(result.numInsertedOrUpdatedRows ?? 0) === 0)
    throw new SteleError('already_exists', { what: `The user '${id}'` })
  const event = { userId: id, by, action: 'user.created', target: id, details: { role: row.role } } as const
  await addEvents(tx, contents, eventRow(event, now))
  return fromRow(row)
}

export function userStore({ kysely, contents, forUpdate }: Pick<Store, 'kysely' | 'contents' | 'forUpdate'>) {
  return {
    /** @throws SteleError already_exists, invalid_value */
    create(
      id: string,
      fields: Partial<Pick<User, 'email' | 'username' | 'role' | 'content_mode'>> = {},
      by: Actor = operator,
    ): Promise<User> {
      return kysely.transaction().execute(tx => insertUser(tx, contents, id, fields, by))
    },
    /** Changes what somebody is, or whether they are let in. @throws SteleError user_not_found */
    setStanding(id: string, change: StandingChange, by: Actor = operator): Promise<User> {
      return kysely.transaction().execute(async tx => {
        const found = tx.selectFrom('users').selectAll().where('id', '=', keyText('userId', id))
        const stored = await found.modifyEnd(forUpdate).executeTakeFirst()
        const row = await contents.openOne(tx, 'users', stored)
        if (row === undefined) throw new SteleError('user_not_found', { user: id })
        if (row.status === 'erasing') throw new SteleError('user_erasing', { user: id })
        const { role = row.role, status = row.status } = change
        const about = { userId: id, by, target: id } as const
        const events = [
          ...(role === row.role
            ? []
            : [{ ...about, action: 'user.role_changed' as const, details: { from: row.role, to: role } }]),
          ...(status === row.status
            ? []
            : [
                {
                  ...about,
                  action: 'user.status_changed' as const,
                  details: { from: row.status, to: status },
                },
              ]),
        ]
        const user = fromRow(row)
        if (events.length === 0) return user
        await tx.updateTable('users').set({ role, status }).where('id', '=', id).execute()
        const rows = events.map(event => eventRow(event, Date.now()))
        await addEvents(tx, contents, ...rows)
        return { ...user, role, status }
      })
    },
    /** Makes the user unless it is there. */
    async ensure(id: string, fields: Partial<Pick<User, 'role'>> = {}): Promise<void> {
      const user = newUserRow(checkUserId(id), Date.now(), fields)
      await kysely
        .insertInto('users')
        .values(user)
        .onConflict(conflict => conflict.column('id').doNothing())
        .execute()
    },
    async get(id: string): Promise<User | undefined> {
      const stored = await kysely
        .selectFrom('users')
        .selectAll()
        .where('id', '=', keyText('userId', id))
        .executeTakeFirst()
      const row = await contents.openOne(kysely, 'users', stored)
      return row && fromRow(row)
    },
    /** Users in order of id, after `after`. */
    async list(options: { limit?: number; after?: string } = {}): Promise<User[]> {
      const rows = await kysely
        .selectFrom('users')
        .selectAll()
        .$if(options.after !== undefined, query => query.where('id', '>', keyText('after', options.after)))
        .orderBy('id')
        .limit(pageLimit(options.limit, 100))
        .execute()
      return (await contents.open(kysely, 'users', rows)).map(fromRow)
    },
  }
}

function fromRow(row: Row<'users'>): User {
  return { ...row, preferences: objectFrom(row.preferences) ?? null }
}
