import { cp, readdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { describeEachDatabase, temporaryFolder } from '../harness/databases.ts'
import { runJson, runStele } from './run-stele.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const names = (await readdir(join(root, 'src/db/migrations'))).map(file => file.replace(/\.ts$/, '')).sort()
const newest = names.at(-1) ?? ''

describeEachDatabase('stele migrate', bed => {
  test('goes up, tells where it is, and goes down again', async () => {
    const place = await bed.place()
    const up = await runStele(['migrate', 'up'], { place })
    expect(up).toMatchObject({ code: 0, stdout: `${names.join('\n')}\n` })
    expect(up.stderr).toContain(`Applied ${names.length}`)
    expect(await runStele(['migrate', 'up'], { place })).toMatchObject({ code: 0, stdout: '' })

    expect(await runStele(['migrate', 'current'], { place })).toMatchObject({
      code: 0,
      stdout: `${newest}\n`,
      stderr: '',
    })
    const history = await runStele(['migrate', 'history'], { place })
    expect(history.stdout).toMatch(new RegExp(`^${newest} +\\d{4}-\\d\\d-\\d\\dT[\\d:]{8}Z$`, 'm'))
    expect(await runJson(['migrate', 'history'], { place })).toEqual(
      names.map(name => ({ id: Number.parseInt(name, 10), name, applied_at: expect.stringMatching(/Z$/) })),
    )

    const dry = await runStele(['migrate', 'down', '--count', '99', '--dry-run'], { place })
    expect(dry).toMatchObject({ code: 0, stdout: `${names.toReversed().join('\n')}\n` })
    expect(await runStele(['migrate', 'current'], { place })).toMatchObject({ code: 0 })
    const down = await runStele(['migrate', 'down', '--count', '99'], { place })
    expect(down).toMatchObject({ code: 0, stdout: `${names.toReversed().join('\n')}\n` })
    expect(await runStele(['migrate', 'current'], { place })).toMatchObject({
      code: 1,
      stdout: '',
      stderr: 'stele: No migration is applied. Run: stele migrate up\n',
    })
    expect((await runStele(['migrate', 'down'], { place })).stderr).toContain('Nothing to undo')
  })

  test('goes up to a migration by number', async () => {
    const place = await bed.place()
    expect(await runStele(['migrate', 'up', '--to', '1'], { place })).toMatchObject({
      code: 0,
      stdout: `${names[0]}\n`,
    })
    expect(await runJson(['migrate', 'current'], { place })).toMatchObject({ id: 1, name: names[0] })
  })
})

test('a dry run of up says what is missing and makes no file', async () => {
  const cwd = await temporaryFolder()
  const { code, stdout } = await runStele(['migrate', 'up', '--dry-run'], { cwd })
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${names.join('\n')}\n` })
  expect(await readdir(cwd)).toEqual([])
})

test('grants are printed for a role as it is called, without asking the server; a file knows none', async () => {
  const there = { env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', DB_SCHEMA: 'stele' } }
  const { code, stdout } = await runStele(['migrate', 'grants', '--role', 'a "b"'], there)
  expect(code).toBe(0)
  expect(stdout).toContain('GRANT SELECT, INSERT ON "stele"."audit_events" TO "a ""b""";\n')
  expect(stdout).toContain('GRANT SELECT, INSERT, UPDATE (hashes) ON "stele"."audit_tiles" TO "a ""b""";\n')
  const here = { env: { DATABASE_URL: 'sqlite::memory:' } }
  const file = await runStele(['migrate', 'grants', '--role', 'a'], here)
  expect(file).toMatchObject({ code: 1, stdout: '' })
  expect(file.stderr).toContain('knows no roles')
})

test('new writes the next numbered migration, which then is known', async () => {
  const clone = await temporaryFolder()
  await cp(join(root, 'src'), join(clone, 'src'), { recursive: true })
  await cp(join(root, 'package.json'), join(clone, 'package.json'))
  await symlink(join(root, 'node_modules'), join(clone, 'node_modules'))
  const main = join(clone, 'src/cli/main.ts')
  const made = await runStele(['migrate', 'new', 'Add notes'], { main, cwd: clone })
  const name = `${String(Number.parseInt(newest, 10) + 1).padStart(4, '0')}-add-notes`
  expect(made).toMatchObject({ code: 0, stdout: `src/db/migrations/${name}.ts\n` })
  expect(await readFile(join(clone, made.stdout.trim()), 'utf8')).toContain('export const down')
  const dry = await runStele(['migrate', 'up', '--dry-run'], { main })
  expect(dry.stdout).toBe(`${[...names, name].join('\n')}\n`)
})
