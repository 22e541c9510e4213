import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

const logger = new URL('../../src/gateway/logger.ts', import.meta.url).href
const errors = new URL('../../src/errors.ts', import.meta.url).href

/** What a process logs of an error that `expression` makes. */
function logged(expression: string): { line: Record<string, unknown>; text: string } {
  const script = `
    import { createLogger } from ${JSON.stringify(logger)}
    import { SteleError } from ${JSON.stringify(errors)}
    createLogger('info').error({ err: ${expression} }, 'request failed')`
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  return { line: JSON.parse(stderr) as Record<string, unknown>, text: stderr }
}

test('an expected failure is logged without a stack, and without what its cause quotes', () => {
  const { line, text } = logged(
    `new SteleError('provider_invalid_response', { provider: 'p', reason: 'r' }, { cause: new SyntaxError('"my secret" is not JSON') })`,
  )
  expect(line['err']).toEqual({ message: "The provider 'p' sent an unusable reply: r", cause: 'SyntaxError' })
  expect(text).not.toContain('secret')
})

test('a system error behind it is named', () => {
  const { line } = logged(
    `new SteleError('store_unavailable', { reason: 'r' }, { cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }) })`,
  )
  expect(line['err']).toMatchObject({ cause: 'ECONNREFUSED' })
})

test('what was not expected is logged with its stack', () => {
  expect(logged(`new Error('boom')`).line['err']).toMatchObject({
    message: 'boom',
    stack: expect.stringContaining('at '),
  })
  const { line } = logged(`new SteleError('internal_error', {}, { cause: new TypeError('boom') })`)
  expect(line['err']).toMatchObject({
    cause: { type: 'TypeError', message: 'TypeError', stack: expect.stringContaining('at ') },
  })
})

const quoting = {
  'a parser': `(() => { try { JSON.parse('a planted secret') } catch (error) { return error } })()`,
  'a parser, with its lines': `Object.assign(new SyntaxError('no:\\n    at a planted secret'))`,
  'a check of an argument': `(() => { try { new URL('a planted secret') } catch (error) { return error } })()`,
  'a database': `Object.assign(new Error('invalid input syntax: "a planted secret"'), { name: 'error', code: '22P02', detail: 'Key (a)=(a planted secret) exists', where: 'a planted secret', constraint: 'users_pkey' })`,
  'a client of HTTP': `Object.assign(new Error('a planted secret'), { code: 'UND_ERR', body: 'a planted secret', headers: ['a planted secret'] })`,
  'no error': `'a planted secret'`,
}

test.for(Object.entries(quoting))(
  'nothing that %s quotes is logged, wherever it stands',
  ([, expression]) => {
    for (const [how, error] of Object.entries({
      alone: expression,
      'as an unexpected cause': `new SteleError('internal_error', {}, { cause: ${expression} })`,
      'as an expected cause': `new SteleError('store_unavailable', { reason: 'r' }, { cause: ${expression} })`,
      deeper: `new Error('outer', { cause: new TypeError('x', { cause: ${expression} }) })`,
    })) {
      const { text, line } = logged(error)
      expect(text, how).not.toContain('planted')
      expect(line['err'], how).toMatchObject({ message: expect.any(String) })
    }
  },
)

test.each([
  ['a password in a URL', `new Error('no answer from postgres://stele:p4ss-sekret@db:5432/stele')`],
  ['a password with odd characters', `new Error('redis://:p4ss%20sekret!@h')`],
  ['a bearer token', `new Error('sent Authorization: Bearer eyJhbGciOi.sekret')`],
  ['an API key', `new Error('401 for sk-proj-sekret-0123456789')`],
  [
    'the token of a session',
    `new SteleError('provider_unreachable', { provider: 'p', reason: 'told of ss-stele-sekret-0123456789' })`,
  ],
  ['a parameter', `new Error('GET /x?api_key=sekret&y=1')`],
  [
    'an expected failure',
    `new SteleError('provider_unreachable', { provider: 'p', reason: 'https://u:sekret@p/v1' })`,
  ],
  [
    'the cause of one that was not',
    `new SteleError('internal_error', {}, { cause: new Error('token=sekret') })`,
  ],
  ['what a parser quotes', `(() => { try { JSON.parse('sekret') } catch (error) { return error } })()`],
  [
    'what a library adds to its error',
    `Object.assign(new Error('x'), { detail: 'sekret', config: { a: 'sekret' } })`,
  ],
  ['what is thrown and is no error', `'postgres://u:sekret@h/d'`],
])('a secret is not logged: %s', (_, expression) => {
  const { line, text } = logged(expression)
  expect(text).not.toContain('sekret')
  expect(line['msg']).toBe('request failed')
  expect(JSON.stringify(line['err']).length).toBeGreaterThan(2)
})

test('headers and keys that are logged by mistake are not said', () => {
  const script = `
    import { createLogger } from ${JSON.stringify(logger)}
    const log = createLogger('info')
    log.info({ authorization: 'Bearer sekret', req: { headers: { cookie: 'sekret' } }, config: { apiKey: 'sekret' }, provider: { password: 'sekret' } }, 'x')`
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  expect(stderr).toContain('[hidden]')
  expect(stderr).not.toContain('sekret')
})
