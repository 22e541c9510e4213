import { randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeLine } from '../output.ts'

export interface UserPasswordOptions extends GlobalOptions {
  readonly stdin?: boolean
}

/**
 * Gives a user a password that is good for choosing another: one from stdin, or a random one, which alone goes to stdout. It is
 * no argument: everybody on the machine can see those.
 */
export async function setUserPassword(id: string, options: UserPasswordOptions): Promise<void> {
  const given = options.stdin === true ? (await text(process.stdin)).replace(/\r?\n$/, '') : undefined
  const password = given ?? randomBytes(15).toString('base64url')
  await withStele(options, ({ logins }) => logins.resetPassword(id, password, operatorHere()))
  say('Logging in with it takes a new one along (new_password). Sessions of the user have ended.')
  if (given === undefined) await writeLine(password)
}
