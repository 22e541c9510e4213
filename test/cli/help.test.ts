import { expect, test } from 'vitest'
import { source } from '../harness/packed.ts'
import { runStele } from './run-stele.ts'

const commands = [
  'serve',
  'chat',
  'migrate up',
  'migrate down',
  'migrate current',
  'migrate history',
  'migrate grants',
  'migrate new',
  'keys create',
  'keys list',
  'keys rotate',
  'keys revoke',
  'keys rotate-master',
  'keys rotate-data',
  'users list',
  'users create',
  'users update',
  'users password',
  'grants create',
  'grants list',
  'grants revoke',
  'calls list',
  'calls show',
  'calls explain',
  'calls tail',
  'conversations list',
  'conversations show',
  'search',
  'usage unpriced',
  'usage reprice',
  'spool status',
  'spool drain',
  'retention run',
  'retention set',
  'retention unset',
  'retention show',
  'backup',
  'restore',
  'copy',
  'export',
  'import',
  'doctor',
]

test.each([
  '',
  'migrate',
  'keys',
  'users',
  'grants',
  'calls',
  'conversations',
  'spool',
  'retention',
  ...commands,
])("'stele %s --help' tells usage and exit codes on stdout", async command => {
  const { code, stdout, stderr } = await runStele([...command.split(' ').filter(Boolean), '--help'])
  expect(code).toBe(0)
  expect(stdout).toContain(`Usage: stele ${command}`.trim())
  expect(stdout).toContain('Exit codes: 0 success · 1 failure · 2 wrong usage')
  expect(stdout).toContain('--database <url>')
  expect(stderr).toBe('')
})

test('--version prints the version of the package', async () => {
  const { code, stdout } = await runStele(['--version'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
})

test.each([
  ['no command', []],
  ['a group without a command', ['keys']],
])('%s prints the help on stderr and ends with 2', async (_name, args) => {
  const { code, stdout, stderr } = await runStele(args)
  expect(code).toBe(2)
  expect(stdout).toBe('')
  expect(stderr).toContain('Usage: stele')
})

test.each<[string, string[], string]>([
  ['an unknown command', ['kyes'], "stele: unknown command 'kyes'"],
  ['an unknown subcommand', ['keys', 'mint'], "stele: unknown command 'mint'"],
  ['an unknown option', ['calls', 'list', '--color'], "stele: unknown option '--color'"],
  ['a missing argument', ['calls', 'show'], "stele: missing required argument 'id'"],
  ['a missing option', ['keys', 'create'], "stele: required option '--user <id>' not specified"],
  ['a surplus argument', ['doctor', 'now'], 'stele: too many arguments'],
  ['a limit that is no number', ['calls', 'list', '--limit', 'ten'], 'a whole number from 1 to 100000'],
  ['a limit of none', ['users', 'list', '--limit', '0'], 'a whole number from 1 to 100000'],
  ['a port out of range', ['serve', '--port', '70000'], 'a whole number from 0 to 65535'],
  ['an upstream that is no URL', ['serve', '--upstream', 'ollama'], 'an http or https URL'],
  [
    'two kinds of key at once',
    ['keys', 'create', '--user', 'ada', '--admin', '--service'],
    'cannot be used with',
  ],
  ['bytes and JSON at once', ['calls', 'show', 'x', '--request', '--json'], 'cannot be used with'],
  ['an expiry in the past', ['keys', 'create', '--user', 'ada', '--expires', '2020-01-01'], 'in the past'],
  ['an expiry that is no time', ['keys', 'create', '--user', 'ada', '--expires', 'soon'], 'an ISO 8601 date'],
  [
    'an unknown role',
    ['users', 'create', 'ada', '--role', 'king'],
    'Allowed choices are member, auditor, service, admin',
  ],
  ['a broken e-mail address', ['users', 'create', 'ada', '--email', 'ada'], 'an e-mail address'],
  ['a user id with a control character', ['users', 'create', 'a\u001b[31m'], "Invalid value for 'user'"],
  ['an unknown migration', ['migrate', 'up', '--to', '9999'], 'There is no migration 9999'],
  ['a migration name of signs', ['migrate', 'new', '../x'], 'letters, digits and -'],
])('%s is wrong usage: told on stderr, exit code 2', async (_name, args, words) => {
  // Only the sources make new migrations.
  const main = args[1] === 'new' ? source('src/cli/main.ts').file : undefined
  const { code, stdout, stderr } = await runStele(args, main === undefined ? {} : { main })
  expect(stderr).toContain(words)
  expect(stderr).not.toContain('    at ')
  expect(stderr).not.toContain('\u001b')
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
})
