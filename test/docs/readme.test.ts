import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { openStele } from '../../src/index.ts'
import { projectUsingPackage } from '../harness/built-package.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
const libraryExample =
  [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].find(([, code]) => code?.includes("from 'stele'"))?.[1] ?? ''

test("the README's library example runs as printed in a project that installed the package", {
  timeout: 60_000,
}, async () => {
  const project = await projectUsingPackage()
  await writeFile(join(project, 'example.mts'), libraryExample)
  const { stdout } = await promisify(execFile)(process.execPath, ['example.mts'], { cwd: project })
  expect(stdout).toContain("status: 'completed'")
  const stele = await openStele({ databaseUrl: `sqlite:${join(project, '.stele/stele.db')}` })
  const [call] = await stele.calls.list({ userId: 'ada' })
  expect(call).toMatchObject({ requestModel: 'gpt-4o-mini', status: 'completed' })
  await stele.close()
})
