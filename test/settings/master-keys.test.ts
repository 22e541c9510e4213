import { randomBytes } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { rotateMasterKey } from '../../src/moving/rotate-master-key.ts'
import { parseMasterKey } from '../../src/privacy/master-key.ts'
import { LoadedMasterKeys } from '../../src/privacy/master-keys.ts'
import { openStele } from '../../src/stele.ts'
import { exchange, reproduced, user } from '../harness/chat.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

const newKey = () => randomBytes(32).toString('base64')
const printing = (...keys: readonly string[]) => [
  process.execPath,
  '-e',
  `console.log(${JSON.stringify(keys.join('\n'))})`,
]
const commandKeys = (command: string | readonly string[]) =>
  new LoadedMasterKeys({ from: { kind: 'command', command }, previous: [] })

test('a command prints the keys, the current one first, with a shell or without', () => {
  const [first, second] = [newKey(), newKey()]
  const keys = commandKeys(printing(first, second))
  expect(keys.current.id).toBe(parseMasterKey(first).id)
  expect(keys.find(parseMasterKey(second).id).bytes).toHaveLength(32)
  expect(commandKeys(`echo ${first} | cat`).current.id).toBe(parseMasterKey(first).id)
})

test.each([
  ['ends with 3', 'echo no; exit 3', 'ended with 3'],
  ['prints nothing', 'true', 'printed nothing'],
  ['prints no key', 'echo c2VjcmV0', '32 bytes'],
  ['prints without end', 'yes', 'printed too much'],
  ['is not there', ['/nowhere/at/all'], 'cannot be run'],
] as const)(
  'a command that %s is refused, and nothing of what it printed is told',
  async (_, command, why) => {
    const error = await failure('master_key_invalid', () => commandKeys(command).current)
    expect(error.message).toContain(why)
    expect(`${error.message} ${JSON.stringify(error.details)}`).not.toContain('c2VjcmV0')
  },
)

test('a key file gets a new key while others use it, and keeps only that one', async () => {
  const folder = await temporaryFolder()
  const databaseUrl = `sqlite:${join(folder, 'stele.db')}`
  const running = await openStele({ databaseUrl })
  const stele = await openStele({ databaseUrl })
  try {
    const { call, request, response } = await exchange(running, [user('question')], 'answer')
    const path = join(folder, 'master.key')
    const before = readFileSync(path, 'utf8')
    expect(await rotateMasterKey(stele.database, stele.masterKeys)).toMatchObject({ file: path })
    const after = readFileSync(path, 'utf8')
    expect(after).not.toBe(before)
    expect(after.trim().split('\n')).toHaveLength(1)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    await expect
      .poll(() =>
        exchange(running, [user(`of a newcomer ${performance.now()}`)], 'b', { userId: 'newcomer' }),
      )
      .toBeTruthy()
    expect(await reproduced(running, call.callId)).toEqual({ request, response })
    // Broken off between the two files: what the old key wraps is still opened, and the next run ends it.
    writeFileSync(path, `${newKey()}\n${after}`, { mode: 0o600 })
    const next = await openStele({ databaseUrl })
    expect((await rotateMasterKey(next.database, next.masterKeys)).rewrapped).toBeGreaterThan(3)
    expect(readFileSync(path, 'utf8').trim().split('\n')).toHaveLength(1)
    await next.close()
  } finally {
    await running.close()
    await stele.close()
  }
})
