import { join } from 'node:path'
import { expect, test } from 'vitest'
import { builtPackage } from '../harness/built-package.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

test('the built package has the same command line', { timeout: 60_000 }, async () => {
  const installed = await builtPackage()
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
