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
  expect(JSON.stringify(line['err'])).toContain('TypeError: boom')
})
