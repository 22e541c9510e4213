import type { ContentMode } from '../../db/batch.ts'
import { checkUserId } from '../../store/users.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { toRecord } from '../record.ts'

export interface CreateUserOptions extends GlobalOptions {
  readonly email?: string
  readonly username?: string
  readonly role: string
  readonly contentMode?: ContentMode
  readonly json?: boolean
}

/** Makes a user; prints its id. */
export async function createUser(id: string, options: CreateUserOptions): Promise<void> {
  const { email = null, username = null, role, contentMode = null, json } = options
  checkUserId(id)
  await withStele(options, async ({ users }) => {
    const user = await users.create(id, { email, username, role, content_mode: contentMode }, operatorHere())
    if (json === true) return writeJson(toRecord(user))
    say(`Made the user, a ${role}.`)
    return writeLine(user.id)
  })
}
