import { expect, test } from 'vitest'
import { describeEachDatabase } from '../harness/databases.ts'
import { headersOf } from './isolation-recipes.ts'
import { errorOf, startGateway } from './running.ts'

/** Routes of administration, by what of them may be anything. */
const named: [method: string, path: string, body?: object][] = [
  ['GET', '/sessions/%00'],
  ['GET', '/history/%00/x'],
  ['GET', '/v1/search?query=x&user=%00'],
  ['GET', '/v1/break_glass?user=%00'],
  ['GET', '/v1/break_glass?after=%00'],
  ['DELETE', '/v1/break_glass/%00'],
  ['GET', '/v1/audit_events?user=%00'],
  ['GET', '/v1/audit_events?action=%00'],
  ['GET', '/v1/audit_events?after=%00'],
  ['GET', '/v1/api_keys?user=%00'],
  ['GET', '/v1/api_keys?after=%00'],
  ['DELETE', '/v1/api_keys/%00'],
  ['PATCH', '/v1/api_keys/%00', {}],
  ['POST', '/v1/api_keys/%00/rotate', {}],
  ['GET', '/v1/usage?user=%00'],
  ['GET', '/v1/users?after=%00'],
  ['POST', '/v1/users/%00', { role: 'member' }],
  ['POST', '/v1/users/%00/erase', { confirm: '\0' }],
]

describeEachDatabase('a name with a NUL', bed => {
  test('is refused or not found wherever an administrator may write one, and no failure of the gateway', async () => {
    const running = await startGateway({ place: await bed.place() })
    const headers = headersOf(await running.newKey('root', 'admin'))
    for (const [method, path, body] of named) {
      const sent = body === undefined ? {} : { body: JSON.stringify(body) }
      const reply = await running.send(method, path, { headers, ...sent })
      expect(reply.status, `${method} ${path}: ${reply.text}`).toBe(400)
      expect(errorOf(reply).code, `${method} ${path}`).toBe('invalid_value')
    }
    expect(running.log()).not.toContain('request failed')
  })
})
