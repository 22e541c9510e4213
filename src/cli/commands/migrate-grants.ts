import { Failure } from '../failure.ts'
import { type GlobalOptions, withDatabase } from '../open-store.ts'
import { write } from '../output.ts'

export interface GrantOptions extends GlobalOptions {
  readonly role: string
}

/** Prints the statements that make a role one for gateways. Nothing is asked of the database, and nothing changed. */
export async function printGrants(options: GrantOptions): Promise<void> {
  await withDatabase(options, async database => {
    const statements = database.grantStatements(options.role)
    if (statements === undefined)
      throw new Failure(
        `${database.location.display} knows no roles: whoever may write the file may change it.`,
      )
    const advice = [
      '-- To be run by the owner of the tables, and again after every stele migrate up. The role itself is made once:',
      "--   CREATE ROLE … LOGIN PASSWORD '…' NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;",
      '-- It must not own the tables, nor be a member of a role that does.',
    ]
    await write(`${[...advice, ...statements].join('\n')}\n`)
  })
}
