import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { exchange, user } from '../harness/chat.ts'
import { sqlitePlace } from '../harness/databases.ts'
import { source } from '../harness/packed.ts'
import { runStele } from './run-stele.ts'

test('a reader that leaves early ends the command quietly', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  // More than a pipe holds, so that the command is still writing when its reader has left.
  await exchange(stele, [user('x'.repeat(300_000))], 'y')
  const [{ id } = { id: '' }] = await stele.calls.list()
  const { file, env } = source('src/cli/main.ts')
  const child = spawn(process.execPath, [file, 'calls', 'show', id], {
    env: { ...env, DATABASE_URL: place.databaseUrl, STELE_MASTER_KEY: place.masterKey },
  })
  let stderr = ''
  child.stderr.on('data', chunk => (stderr += String(chunk)))
  child.stdout.once('data', () => child.stdout.destroy())
  const [code] = await once(child, 'close')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
})

test.runIf(existsSync('/dev/full'))('a full disk is told', async () => {
  const place = await sqlitePlace()
  await (await place.stele()).users.create('ada')
  await using full = await open('/dev/full', 'w')
  const { code, stderr } = await runStele(['users', 'list'], { place, stdout: full.fd })
  expect(code).toBe(1)
  expect(stderr).toMatch(/^stele: The output cannot be written: ENOSPC[^\n]*\n$/)
})

test('what a terminal would obey is spelled out in tables and texts, and escaped in JSON', async () => {
  const place = await sqlitePlace()
  const stele = await place.stele()
  const evil = '\u001b]0;owned\u0007\u009b31m\u202e'
  await stele.users.create('eve', { username: `${evil}\nnext` })
  const { call } = await exchange(stele, [user(evil)], `${evil}\nsecond line`)

  const table = await runStele(['users', 'list'], { place })
  expect(table.stdout).toContain('\\x1b]0;owned\\x07\\x9b31m\\u202e\\nnext')
  const text = await runStele(['calls', 'show', call.callId], { place })
  expect(text.stdout).toContain('\\x1b]0;owned\\x07\\x9b31m\\u202e\nsecond line')
  const json = await runStele(['calls', 'show', call.callId, '--json'], { place })
  for (const { stdout } of [table, text, json]) {
    for (const char of evil.replaceAll(/[\w;\]]/g, '')) expect(stdout).not.toContain(char)
  }
  const { reply } = JSON.parse(json.stdout) as { reply: { content: string }[] }
  expect(reply[0]?.content).toBe(`${evil}\nsecond line`)
})
