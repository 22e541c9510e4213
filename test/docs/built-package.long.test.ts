import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStele } from '../../src/index.ts'
import { runJson, runStele } from '../cli/run-stele.ts'
import { buildPackage } from '../harness/built-package.ts'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'

/** The package as npm would install it, built once for all that is asked of it. */
let installed = ''

beforeAll(async () => {
  installed = await mkdtemp(join(tmpdir(), 'stele-test-package-'))
  await buildPackage(installed)
}, 60_000)

afterAll(() => rm(installed, { recursive: true, force: true }))

test('the built package has the same command line', { timeout: 60_000 }, async () => {
  const main = join(installed, 'dist/cli/main.js')
  const place = await sqlitePlace()

  expect(await runStele(['migrate', 'up'], { main, place })).toMatchObject({ code: 0 })
  expect(await runStele(['keys', 'create', '--user', 'ada'], { main, place })).toMatchObject({ code: 0 })
  expect(await runJson(['doctor'], { main, place })).toMatchObject({ ok: true })
  expect(await runStele(['migrate', 'new', 'x'], { main })).toMatchObject({
    code: 1,
    stderr: 'stele: New migrations are written in a clone of Stele, not in the installed package.\n',
  })
})

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const libraryExample =
  [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].find(([, code]) => code?.includes("from 'stele'"))?.[1] ?? ''

test("the README's library example runs as printed in a project that installed the package", {
  timeout: 60_000,
}, async () => {
  const project = await temporaryFolder()
  await mkdir(join(project, 'node_modules'))
  await symlink(installed, join(project, 'node_modules/stele'))
  await writeFile(join(project, 'example.mts'), libraryExample)
  const { stdout } = await promisify(execFile)(process.execPath, ['example.mts'], { cwd: project })
  expect(stdout).toContain("status: 'completed'")
  const stele = await openStele({ databaseUrl: `sqlite:${join(project, '.stele/stele.db')}` })
  const [call] = await stele.calls.list({ userId: 'ada' })
  expect(call).toMatchObject({ requestModel: 'gpt-4o-mini', status: 'completed' })
  await stele.close()
})
