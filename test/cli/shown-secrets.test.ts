import { expect, test } from 'vitest'
import { temporaryFolder } from '../harness/databases.ts'
import { runStele } from './run-stele.ts'

const password = 'a password stands on the command line'
const key = 'an API key stands on the command line'

test.each<[string, string[], string]>([
  [
    'a database with a password',
    ['migrate', 'current', '--database', 'postgres://u:sekret@127.0.0.1:1/x'],
    password,
  ],
  ['the same in one word', ['migrate', 'current', '--database=postgres://u:sekret@127.0.0.1:1/x'], password],
  [
    'an upstream with a password',
    ['serve', '--port', '0', '--upstream', 'https://u:sekret@127.0.0.1:1/v1'],
    password,
  ],
  ['a key', ['chat', '--gateway', 'http://127.0.0.1:1', '--key', 'sk-stele-sekret'], key],
])('%s on the command line is told of, without it', async (_, args, warning) => {
  const { stderr, stdout, code } = await runStele(args, { env: { DB_POOL_TIMEOUT: '1' }, isAlone: true })
  expect(code).toBe(1)
  expect(stderr).toContain(`stele: warning: ${warning}`)
  expect(stderr + stdout).not.toContain('sekret')
})

test('what is no secret is not told of', async () => {
  for (const url of ['sqlite:a@b:c.db', 'postgres://u@127.0.0.1:1/x']) {
    const { stderr } = await runStele(['migrate', 'current', '--database', url], {
      env: { DB_POOL_TIMEOUT: '1' },
    })
    expect(stderr).not.toContain('warning')
  }
})

test.each([
  [['audit', 'verify', '--from', 'nothing.jsonl', '--key', 'stele/1+d055aaa0+AeYE']],
  [['audit', 'verify-proof', 'nothing.json', '--key=nonsense']],
  [['usage', '--key', 'key_01h455vb4pex5vsknk084sn02q', '--database', 'sqlite:nothing.db']],
])('%s has no secret among its words', async args => {
  const { code, stderr } = await runStele(args, { cwd: await temporaryFolder() })
  expect(code).not.toBe(0)
  expect(stderr).not.toContain('warning')
})

test('no option takes a master key, and one that is tried is not repeated', async () => {
  for (const option of ['--master-key', '--previous-master-keys', '--api-key', '--password']) {
    const { code, stderr } = await runStele(['serve', option, 'sekret'], { cwd: await temporaryFolder() })
    expect(code).toBe(2)
    expect(stderr).toContain(`unknown option '${option}'`)
    expect(stderr).not.toContain('sekret')
  }
})
