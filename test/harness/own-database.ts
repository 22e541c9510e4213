import { randomBytes } from 'node:crypto'
import { inject, onTestFinished } from 'vitest'
import { onServer } from './databases.ts'

/**
 * A PostgreSQL database for one test alone, for what is set or done per database.
 * @param options of CREATE DATABASE
 */
export async function ownDatabase(options = ''): Promise<{ url: string; name: string }> {
  const name = `test_${randomBytes(8).toString('hex')}`
  await onServer(`CREATE DATABASE ${name} ${options}`)
  onTestFinished(() => onServer(`DROP DATABASE ${name} WITH (FORCE)`))
  const url = new URL(inject('postgresUrl'))
  url.pathname = `/${name}`
  return { url: url.href, name }
}
