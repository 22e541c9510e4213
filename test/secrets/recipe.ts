import { expect } from 'vitest'
import type { Speaker } from './speaker.ts'

/** What a speaker has made, to be named on other routes. */
export interface Belongings {
  readonly conversation: string
  readonly item: string
  readonly response: string
  readonly completion: string
  readonly document: string
  readonly session: string
  readonly apiKey: string
  /** Of an administrator, for what nobody else may. */
  readonly adminKey: string
}

/** Says marked things on one route, in every place that the route has for words. */
export type Recipe = (s: Speaker, own: Belongings) => Promise<void>

/** Fails unless a reply has the status 200, or one that is due: 410 always is, for those of whom only digests are kept. */
export const fine = async (sent: ReturnType<Speaker['send']>, ...others: number[]): Promise<void> => {
  const reply = await sent
  expect([200, 410, ...others], reply.text).toContain(reply.status)
}

/** What is asked for in a query that nobody reads. */
const note = (s: Speaker, path: string): string =>
  `note=${encodeURIComponent(s.text(`an unknown parameter of ${path}`))}`

/** A route without a body: as it is, with a query, and with an id that is none. */
export const get =
  (path: (own: Belongings) => string, { method = 'GET', isOpen = false } = {}): Recipe =>
  async (s, own) => {
    const asked = path(own)
    const reply = await s.send(method, `${asked}${asked.includes('?') ? '&' : '?'}${note(s, asked)}`)
    expect(reply.status, `${method} ${asked}: ${reply.text}`).toBeLessThan(500)
    // What needs no key must tell nothing of anybody.
    if (isOpen) expect(reply.text).not.toContain(s.markers.stem)
    for (const id of Object.values(own))
      if (asked.includes(id))
        await s.send(method, asked.replace(id, encodeURIComponent(s.asked(`an id on ${method} ${asked}`))))
  }

const once = (s: Speaker, route: string): Record<string, string> => ({
  'idempotency-key': `${s.word(`the Idempotency-Key of ${route}`)} "'\\{}`,
})

/** Asks twice under one key, and then something else. */
export const repeated = async (s: Speaker, path: string, body: (where: string) => object): Promise<void> => {
  const headers = once(s, path)
  const first = body(`${path} under a key`)
  await fine(s.send('POST', path, { body: first, headers }))
  await fine(s.send('POST', path, { body: first, headers }))
  await fine(s.send('POST', path, { body: body(`${path} under a used key`), headers }), 409)
}
