import { execFile } from 'node:child_process'
import { cp, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { sqlitePlace, temporaryFolder } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

test('the built package has the same command line', { timeout: 60_000 }, async () => {
  const installed = await temporaryFolder()
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [
    compiler,
    '-p',
    join(root, 'tsconfig.build.json'),
    '--outDir',
    join(installed, 'dist'),
  ])
  await cp(join(root, 'package.json'), join(installed, 'package.json'))
  await cp(join(root, 'schema'), join(installed, 'schema'), { recursive: true })
  await symlink(join(root, 'node_modules'), join(installed, 'node_modules'))
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
