import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  generateMasterKey,
  makeMasterKeyFile,
  parseMasterKey,
  readMasterKeyFile,
  unwrapKey,
  wrapKey,
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
