import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import { expect, onTestFinished, test } from 'vitest'
import { startPostgresServer } from '../harness/postgres-server.ts'
import { chat } from './bodies.ts'
import {
  expectAllButUnkept,
  expectKept,
  expectNothingIn,
  leaveOpenIn,
  plainInFiles,
  sayEverything,
  sayMeanwhile,
} from './everything.ts'
import { setScene } from './scene.ts'
import { told } from './search-bytes.ts'
import { beyond, exported, filesBelow, inFiles } from './stored.ts'
import { tapLink } from './tapped-link.ts'

/**
 * What is said is found in no byte that Stele writes, but where its mode says so. Marked things are said on every route, in
 * every place that has room for words, in every mode, and whatever goes wrong; then every file, row and log line is searched.
 */

test('in a SQLite file, through a crash, nothing is readable but what is kept plain', {
  timeout: 240_000,
}, async () => {
  const scene = await setScene({ databaseUrl: folder => `sqlite:${folder}/stele.db` })
  const first = await scene.serve({ LOG_LEVEL: 'debug' })
  await sayEverything(scene)
  const { over } = await leaveOpenIn(scene)
  first.kill('SIGKILL')
  await over
  await first.ended
  expectNothingIn(scene, filesBelow(scene.folder))

  const second = await scene.serve({ LOG_LEVEL: 'trace' })
  await scene.speaker('encrypted').send('POST', '/v1/chat/completions', {
    body: chat(scene.speaker('encrypted'), 'a chat after the crash'),
  })
  second.kill('SIGTERM')
  expect(await second.ended).toEqual({ code: 0, signal: null })
  const stele = await expectKept(scene)
  await stele.backup(join(scene.folder, 'backup.db'))
  expectNothingIn(scene, filesBelow(scene.folder))
  expectAllButUnkept(await exported(stele, scene.search))
})

test('in PostgreSQL, on the way to it and in the spool, nothing is readable but what is kept plain', {
  timeout: 240_000,
}, async () => {
  const server = await startPostgresServer({ maxConnections: 40 })
  onTestFinished(() => server.stop())
  const link = await tapLink(server.url)
  const scene = await setScene({ databaseUrl: () => link.databaseUrl, operatorUrl: server.url })
  const first = await scene.serve({ LOG_LEVEL: 'trace', DB_POOL_TIMEOUT: '2', DB_COMMIT_TIMEOUT: '1' })
  await sayEverything(scene)

  link.cut()
  await sayMeanwhile(scene)
  const spool = join(scene.folder, '.stele/spool')
  expect(filesBelow(spool).length).toBeGreaterThan(0)
  expect(told(beyond(inFiles(scene.search, filesBelow(spool)), []))).toEqual([])
  const { over } = await leaveOpenIn(scene)
  first.kill('SIGKILL')
  await over
  await first.ended
  expectNothingIn(scene, filesBelow(scene.folder))

  link.restore()
  const second = await scene.serve({ LOG_LEVEL: 'debug' })
  await expect
    .poll(() => existsSync(spool) && filesBelow(spool).some(path => path.endsWith('.db')))
    .toBe(false)
  second.kill('SIGTERM')
  expect(await second.ended).toEqual({ code: 0, signal: null })
  const stele = await expectKept(scene)
  await sql`CHECKPOINT`.execute(stele.database.kysely)
  expectNothingIn(scene, filesBelow(scene.folder))
  // Where the server has compressed what is kept plain, not all markers tell their kind any more; rows and the wire do.
  const inServer = inFiles(scene.search, filesBelow(server.folder)).filter(({ isSure }) => isSure)
  expect(told(beyond(inServer, plainInFiles))).toEqual([])
  expect(inServer.length).toBeGreaterThan(0)
  const heard = link.heard().flatMap(said => scene.search.inFile('the way to the database', said))
  // What is kept plain is heard, so silence would be no proof.
  expect(heard.length).toBeGreaterThan(0)
  expect(told(beyond(heard, [...plainInFiles, 'asked']))).toEqual([])
})

test('on a full disk nothing is readable either', async () => {
  const scene = await setScene({ databaseUrl: folder => `sqlite:${folder}/stele.db` })
  const gateway = await scene.serve({ LOG_LEVEL: 'trace' }, { fileLimit: 1_000_000 })
  const s = scene.speaker('encrypted')
  const statuses: number[] = []
  while (statuses.at(-1) !== 503 && statuses.length < 500) {
    const replies = await Promise.all(
      Array.from({ length: 8 }, () =>
        s.send('POST', '/v1/chat/completions', { body: chat(s, 'a chat that fills the disk') }),
      ),
    )
    statuses.push(...replies.map(({ status }) => status).sort())
  }
  expect(statuses.at(-1)).toBe(503)
  gateway.kill('SIGKILL')
  await gateway.ended
  expectNothingIn(scene, filesBelow(scene.folder))
})
