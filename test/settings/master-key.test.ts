import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import {
  generateMasterKey,
  makeMasterKeyFile,
  parseMasterKey,
  readMasterKeyFile,
  retireMasterKeys,
  unwrapKey,
  wrapKey,
  writeMasterKeyFile,
} from '../../src/privacy/master-key.ts'
import { openStele } from '../../src/stele.ts'
import { temporaryFolder } from '../harness/databases.ts'
import { failure } from '../harness/errors.ts'

test('a key file is made once, for its owner alone, and read again', async () => {
  const path = join(await temporaryFolder(), 'sub', 'master.key')
  makeMasterKeyFile(path)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const [key] = readMasterKeyFile(path)
  expect(key?.bytes).toHaveLength(32)
  makeMasterKeyFile(path)
  expect(readMasterKeyFile(path)).toEqual([key])
})

test.for([0o644, 0o640, 0o604, 0o620])(
  'a key file that others may touch (mode %o) is refused with the remedy',
  async mode => {
    const path = join(await temporaryFolder(), 'master.key')
    makeMasterKeyFile(path)
    chmodSync(path, mode)
    const error = await failure('master_key_invalid', () => readMasterKeyFile(path))
    expect(error.message).toContain(`chmod 600 ${path}`)
    expect(error.message).not.toContain(readFileSync(path, 'utf8').trim())
  },
)

test.for(['', 'too short', Buffer.alloc(31).toString('base64'), Buffer.alloc(33).toString('base64')])(
  'a key file that holds %j is refused, and not quoted',
  async text => {
    const path = join(await temporaryFolder(), 'master.key')
    writeFileSync(path, text, { mode: 0o600 })
    const error = await failure('master_key_invalid', () => readMasterKeyFile(path))
    if (text !== '') expect(error.message).not.toContain(text)
  },
)

test('words that are no key are none, however many letters of base64 they hold', async () => {
  const sentence = 'permission denied while reading the secret store of keys'
  expect(Buffer.from(sentence.slice(0, 50), 'base64').byteLength).toBe(32)
  const key = randomBytes(32)
  for (const text of [sentence.slice(0, 50), `${key.toString('base64')}.`, key.toString('hex')])
    await failure('master_key_invalid', () => parseMasterKey(text))
  const given = ['base64', 'base64url'] as const
  expect(given.map(form => Buffer.from(parseMasterKey(` ${key.toString(form)}\r\n`).bytes))).toEqual([
    key,
    key,
  ])
})

test.runIf(process.geteuid?.() === 0)('a key file of another user is refused', async () => {
  const path = join(await temporaryFolder(), 'master.key')
  makeMasterKeyFile(path)
  chownSync(path, 12_345, 12_345)
  const error = await failure('master_key_invalid', () => readMasterKeyFile(path))
  expect(error.message).toContain('belongs to another user')
})

test('a key file never has its name before it has its key', async () => {
  const folder = await temporaryFolder()
  const pathOf = (index: number) => join(folder, `${index}.key`)
  // What a process leaves that is ended while it makes the file.
  writeFileSync(`${pathOf(0)}.${process.pid}.new`, '', { mode: 0o600 })
  const many = 40
  const sizes = new Int32Array(new SharedArrayBuffer(4 * many))
  const watcher = new Worker(
    `const { statSync } = require('node:fs')
     const { parentPort, workerData } = require('node:worker_threads')
     const { folder, sizes, many } = workerData
     parentPort.postMessage('ready')
     for (let index = 0, end = Date.now() + 20000; index < many && Date.now() < end;) {
       const { size = -1 } = statSync(folder + '/' + index + '.key', { throwIfNoEntry: false }) ?? {}
       if (size < 0) continue
       Atomics.store(sizes, index, size + 1)
       Atomics.notify(sizes, index++)
     }`,
    { eval: true, workerData: { folder, sizes, many } },
  )
  await once(watcher, 'message')
  for (let index = 0; index < many; index++) {
    makeMasterKeyFile(pathOf(index))
    Atomics.wait(sizes, index, 0, 10_000)
  }
  await watcher.terminate()
  expect(new Set(sizes)).toEqual(new Set([45 + 1]))
  expect(readdirSync(folder)).toHaveLength(many + 1)
})

test('where the key file is a link, what it leads to gets the new key, and nothing is left beside', async () => {
  const folder = await temporaryFolder()
  const path = join(folder, 'real.key')
  makeMasterKeyFile(path)
  symlinkSync(path, join(folder, 'master.key'))
  const next = generateMasterKey()
  writeMasterKeyFile(join(folder, 'master.key'), [next])
  expect(readMasterKeyFile(path)).toEqual([next])
  expect(lstatSync(join(folder, 'master.key')).isSymbolicLink()).toBe(true)
  expect(readdirSync(folder).sort()).toEqual(['master.key', 'real.key'])
})

test('keys that are taken out of a file are kept beside it, each once', async () => {
  const path = join(await temporaryFolder(), 'master.key')
  const [one, other] = [generateMasterKey(), generateMasterKey()]
  for (const keys of [[one], [one], [other, one]]) retireMasterKeys(path, keys)
  expect(readMasterKeyFile(`${path}.retired`)).toEqual([other, one])
  expect(statSync(`${path}.retired`).mode & 0o777).toBe(0o600)
})

test('a key file that is not there, or cannot be made, is an error that names it', async () => {
  const path = join(await temporaryFolder(), 'master.key')
  expect((await failure('master_key_invalid', () => readMasterKeyFile(path))).message).toContain(path)
  expect(
    (await failure('master_key_invalid', () => makeMasterKeyFile('/dev/null/sub/master.key'))).message,
  ).toContain('/dev/null')
})

test('no new key is made beside a database whose own key is gone', async () => {
  const folder = await temporaryFolder()
  const databaseUrl = `sqlite:${join(folder, 'stele.db')}`
  const masterKey = randomBytes(32).toString('base64')
  await (await openStele({ databaseUrl, masterKey })).close()
  await failure('master_key_invalid', openStele({ databaseUrl }))
  expect(() => statSync(join(folder, 'master.key'))).toThrow('ENOENT')
})

test('the id of a key tells keys apart and nothing about them', () => {
  const [one, other] = [generateMasterKey(), generateMasterKey()]
  expect(one.id).not.toBe(other.id)
  expect(parseMasterKey(Buffer.from(one.bytes).toString('base64')).id).toBe(one.id)
  expect(Buffer.from(one.bytes).toString('hex')).not.toContain(one.id)
})

test('what is wrapped opens with its key and its purpose, and with nothing else', async () => {
  const master = generateMasterKey()
  const secret = randomBytes(32)
  const wrapped = wrapKey(master, 'purpose', secret)
  expect(unwrapKey(master, 'purpose', wrapped)).toEqual(secret)
  expect(wrapKey(master, 'purpose', secret)).not.toEqual(wrapped)
  await failure('master_key_mismatch', () => unwrapKey(generateMasterKey(), 'purpose', wrapped))
  await failure('master_key_mismatch', () => unwrapKey(master, 'another', wrapped))
  for (const at of [0, 12, wrapped.length - 1]) {
    const changed = Buffer.from(wrapped)
    changed[at] = (changed[at] ?? 0) ^ 1
    await failure('master_key_mismatch', () => unwrapKey(master, 'purpose', changed))
  }
  for (const length of [0, 11, 27, wrapped.length - 1]) {
    await failure('master_key_mismatch', () => unwrapKey(master, 'purpose', wrapped.subarray(0, length)))
  }
})
