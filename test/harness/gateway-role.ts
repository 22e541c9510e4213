import { randomBytes } from 'node:crypto'
import { onTestFinished } from 'vitest'
import type { Stele } from '../../src/stele.ts'
import type { SteleOptions } from '../../src/stele-options.ts'
import { onServer, type Place, postgresPlace } from './databases.ts'

/** A migrated place whose owner has made a role for gateways, and a store opened as that role. */
export interface RolePlace {
  /** As the owner of the tables. */
  readonly owner: Place
  readonly role: string
  readonly open: (options?: SteleOptions) => Promise<Stele>
}

export async function rolePlace(): Promise<RolePlace> {
  const owner = await postgresPlace()
  const stele = await owner.stele()
  const role = `gateway_${randomBytes(8).toString('hex')}`
  await onServer(`CREATE ROLE ${role} LOGIN PASSWORD 'gateway' NOSUPERUSER`)
  onTestFinished(async () => {
    await onServer(`DROP OWNED BY ${role}`)
    await onServer(`DROP ROLE ${role}`)
  })
  await onServer((stele.database.grantStatements(role) ?? []).join('\n'))
  await stele.close()
  const url = new URL(owner.databaseUrl)
  url.username = role
  url.password = 'gateway'
  return {
    owner,
    role,
    open: options => owner.stele({ databaseUrl: url.href, ...options }),
  }
}
