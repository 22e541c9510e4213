import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson, writeLine } from '../output.ts'
import { printableLine } from '../printable.ts'
import { toRecord } from '../record.ts'
import { timeText } from '../values.ts'

export interface CreateGrantOptions extends GlobalOptions {
  readonly user: string
  readonly admin: string
  readonly reason: string
  readonly expires: number
  readonly json?: boolean
}

/** Lets an administrator read what is stored of a user for a while; prints the grant's id. */
export async function createGrant(options: CreateGrantOptions): Promise<void> {
  const { user: userId, admin: holder, reason, expires: expiresAt, json } = options
  await withStele(options, async ({ grants }) => {
    const grant = await grants.create({ userId, holder, reason, expiresAt }, operatorHere())
    if (json === true) return writeJson(toRecord(grant))
    say(printableLine(`${holder} may read what is stored of ${userId} until ${timeText(expiresAt)}.`))
    return writeLine(grant.id)
  })
}
