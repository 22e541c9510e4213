import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { type Database, openDatabase } from '../src/db/database.ts'
import { migrateUp } from '../src/db/migrate.ts'
import { startPostgresServer } from '../test/harness/postgres-server.ts'

/**
 * Writes the schema of each database, as migrations make it, to schema/<database>.txt. With --check it changes nothing
 * and exits with 1 when a file differs from what the migrations make.
 */

const folder = new URL('../schema/', import.meta.url)
const isCheck = process.argv.includes('--check')

const server = await startPostgresServer()
try {
  await mkdir(folder, { recursive: true })
  for (const url of ['sqlite::memory:', server.url]) {
    const database = openDatabase(url)
    try {
      await compareOrWrite(database)
    } finally {
      await database.close()
    }
  }
} finally {
  await server.stop()
}

async function compareOrWrite(database: Database): Promise<void> {
  await migrateUp(database)
  const live = await database.describeSchema()
  const name = `${database.schemaTypes.name}.txt`
  const file = new URL(name, folder)
  if (!isCheck) {
    await writeFile(file, `${live.join('\n')}\n`)
    return
  }
  const committed = (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(line => line !== '')
  const differences = [
    ...committed.filter(line => !live.includes(line)).map(line => `- ${line}`),
    ...live.filter(line => !committed.includes(line)).map(line => `+ ${line}`),
  ]
  if (differences.length === 0 && committed.join('\n') === live.join('\n')) return
  console.error(`schema/${name} is not what the migrations make; run: npm run schema`)
  console.error(differences.length === 0 ? '  the lines stand in another order' : differences.join('\n'))
  process.exitCode = 1
}
