import type { Row } from '../db/tables.ts'
import { SteleError } from '../errors.ts'
import { columnText, type JsonObject, keyText, objectFrom, pageLimit } from '../model/json-object.ts'
import type { Reading } from './contents.ts'

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

export function userStore({ kysely, contents }: Reading) {
  return {
    /** @throws SteleError already_exists, invalid_value */
    async create(
      id: string,
      fields: Partial<Pick<User, 'email' | 'username' | 'role' | 'content_mode'>> = {},
    ): Promise<User> {
      const row = newUserRow(checkUserId(id), Date.now(), checkedFields(fields))
      const result = await kysely
        .insertInto('users')
        .values(row)
        .onConflict(conflict => conflict.column('id').doNothing())
        .executeTakeFirst()
      if (Number(result.numInsertedOrUpdatedRows ?? 0) === 0)
        throw new SteleError('already_exists', { what: `The user '${id}'` })
      return fromRow(row)
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
