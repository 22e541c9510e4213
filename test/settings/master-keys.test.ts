import { randomBytes } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { rotateMasterKey } from '../../src/moving/rotate-master-key.ts'
import { parseMasterKey, readMasterKeyFile } from '../../src/privacy/master-key.ts'
import { LoadedMasterKeys } from '../../src/privacy/master-keys.ts'
import { openStele } from '../../src/stele.ts'
import { leaseStore } from '../../src/store/leases.ts'
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

test('a command that hangs is given up in time', async () => {
  const startedAt = performance.now()
  for (const command of ['sleep 5', 'sleep 5 | cat', ['sleep', '5']]) {
    const keys = new LoadedMasterKeys({ from: { kind: 'command', command }, previous: [] }, 200)
    expect((await failure('master_key_invalid', () => keys.current)).message).toContain('took longer')
  }
  expect(performance.now() - startedAt).toBeLessThan(5_000)
})

test('a list of arguments reaches the program as it is: no shell takes it apart', () => {
  const key = newKey()
  const program = 'console.log(process.argv[1] === "$(exit 1); `x` *" ? process.argv[2] : "no")'
  const command = [process.execPath, '-e', program, '$(exit 1); `x` *', key]
  expect(commandKeys(command).current.id).toBe(parseMasterKey(key).id)
})

test('keys that cannot be read again stay: what they open can be opened still', async () => {
  const path = join(await temporaryFolder(), 'master.key')
  const key = newKey()
  writeFileSync(path, `${key}\n`, { mode: 0o600 })
  const keys = new LoadedMasterKeys({ from: { kind: 'file', path }, previous: [] })
  const { id } = keys.current
  writeFileSync(path, 'half a k')
  await expect.poll(() => codeOf(() => keys.find('0123456789abcdef'))).toBe('master_key_invalid')
  expect(keys.find(id).id).toBe(id)
  expect(keys.current.id).toBe(id)
})

function codeOf(work: () => unknown): string | undefined {
  try {
    work()
  } catch (error) {
    return (error as { code?: string }).code
  }
  return undefined
}

test('two rotations at once leave a file that opens everything', async () => {
  const folder = await temporaryFolder()
  const databaseUrl = `sqlite:${join(folder, 'stele.db')}`
  const stores = [await openStele({ databaseUrl }), await openStele({ databaseUrl })] as const
  try {
    const { call } = await exchange(stores[0], [user('question')], 'answer')
    const first = parseMasterKey(readFileSync(join(folder, 'master.key'), 'utf8'))
    const rotations = stores.map(one => rotateMasterKey(one.database, one.masterKeys))
    const outcomes = await Promise.allSettled(rotations)
    const refused = outcomes.flatMap(one => (one.status === 'rejected' ? [one.reason.code] : []))
    expect(refused.every(code => code === 'rotation_running')).toBe(true)
    expect(refused.length).toBeLessThan(2)
    // An older backup, or a database beside this one, may need what was taken out.
    const retired = readMasterKeyFile(join(folder, 'master.key.retired'))
    expect(retired.map(({ id }) => id)).toContain(first.id)
    const fresh = await openStele({ databaseUrl })
    expect((await reproduced(fresh, call.callId)).request).toContain('question')
    await fresh.close()
  } finally {
    for (const one of stores) await one.close()
  }
})

test('a rotation waits for no other: it is refused, and nothing is changed', async () => {
  const folder = await temporaryFolder()
  const stele = await openStele({ databaseUrl: `sqlite:${join(folder, 'stele.db')}` })
  try {
    const before = readFileSync(join(folder, 'master.key'), 'utf8')
    const leases = leaseStore(stele.database)
    const now = Date.now()
    await leases.take('rotate-master', 'another', { now, expiresAt: now + 60_000 })
    await failure('rotation_running', rotateMasterKey(stele.database, stele.masterKeys))
    expect(readFileSync(join(folder, 'master.key'), 'utf8')).toBe(before)
    await leases.release('rotate-master', 'another')
    expect((await rotateMasterKey(stele.database, stele.masterKeys)).rewrapped).toBeGreaterThan(0)
    expect((await rotateMasterKey(stele.database, stele.masterKeys)).rewrapped).toBeGreaterThan(0)
  } finally {
    await stele.close()
  }
})

test('broken off at any step a rotation leaves a file that opens everything, and goes on', async () => {
  const folder = await temporaryFolder()
  const path = join(folder, 'master.key')
  const databaseUrl = `sqlite:${join(folder, 'stele.db')}`
  const first = await openStele({ databaseUrl })
  const { call, request } = await exchange(first, [user('question')], 'answer')
  await first.close()
  const [old] = readMasterKeyFile(path)
  for (let steps = 1, isDone = false; !isDone; steps++) {
    const stele = await openStele({ databaseUrl })
    let left = steps
    const breakOff = () => {
      if (left-- === 0) throw new Error('broken off')
    }
    isDone = await rotateMasterKey(stele.database, stele.masterKeys, breakOff).then(
      () => true,
      () => false,
    )
    expect((await reproduced(stele, call.callId)).request).toBe(request)
    await stele.close()
    expect(steps).toBeLessThan(20)
  }
  expect(readMasterKeyFile(path)).toHaveLength(1)
  expect(readMasterKeyFile(`${path}.retired`).at(-1)?.id).toBe(old?.id)
})

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
