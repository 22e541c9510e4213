import type { Role } from '../../model/permissions.ts'
import type { StandingChange } from '../../store/users.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { toRecord } from '../record.ts'

export interface UpdateUserOptions extends GlobalOptions {
  readonly role?: Role
  readonly status?: StandingChange['status']
  readonly json?: boolean
}

/** Changes what a user is, or whether they are let in; prints the id. */
export async function updateUser(id: string, options: UpdateUserOptions): Promise<void> {
  const { role, status, json } = options
  await withStele(options, async ({ users }) => {
    const user = await users.setStanding(id, { role, status }, operatorHere())
    if (json === true) return writeJson(toRecord(user))
    say(`The user is ${user.status}, with the role ${user.role}.`)
    return writeLine(user.id)
  })
}
