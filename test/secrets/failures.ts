import { expect } from 'vitest'
import { chat, comparison, response, unusable } from './bodies.ts'
import { type Speaker, sendRaw, well } from './speaker.ts'

/** What goes wrong, with marked things under way. */

const chats = '/v1/chat/completions'
const comparisons = '/v1/comparisons'
const responses = '/v1/responses'

/** Milliseconds after which a client leaves that gets no reply, or not all of it. */
const patience = 150

const wholeFailures = [
  'refuses',
  'denies',
  'fails',
  'stumbles',
  'mumbles',
  'drifts',
  'apologizes',
  'resets',
  'rambles',
]
const streamFailures = ['breaks', 'garbles', 'errs', 'fails', 'refuses', 'rambles', 'resets']
const endless = ['hangs', 'stalls', 'trails']

/** A model whose first target fails and whose second answers. */
export const fallback = 'falls-back'

/** Every way in which a provider fails or a client leaves. */
export async function failAtProvider(s: Speaker): Promise<void> {
  const attempts: Promise<unknown>[] = []
  const failing = (path: string, body: object): void =>
    void attempts.push(
      s.send('POST', path, { body }).then(
        ({ status, text }) => expect(status, text).not.toBe(401),
        // A reply that breaks off.
        () => undefined,
      ),
    )
  const leaving = (path: string, body: object): void =>
    void attempts.push(s.send('POST', path, { body, leavesAfter: patience }).catch(() => undefined))
  for (const manner of wholeFailures) {
    failing(chats, chat(s, `a chat that ${manner}`, { manner }))
    failing(responses, response(s, `a response that ${manner}`, { manner }))
  }
  for (const manner of streamFailures) {
    failing(chats, chat(s, `a stream that ${manner}`, { manner, stream: true }))
    failing(responses, response(s, `a streamed response that ${manner}`, { manner, stream: true }))
    failing(comparisons, comparison(s, `a comparison that ${manner}`, { manner, stream: true }))
  }
  failing(chats, { ...chat(s, 'a chat that falls back'), model: fallback })
  failing(responses, { ...response(s, 'a response that falls back'), model: fallback })
  for (const manner of endless) {
    leaving(
      chats,
      chat(s, `a chat whose client leaves as it ${manner}`, { manner, stream: manner !== 'hangs' }),
    )
    leaving(
      responses,
      response(s, `a response whose client leaves as it ${manner}`, { manner, stream: true }),
    )
    leaving(
      comparisons,
      comparison(s, `a comparison whose client leaves as it ${manner}`, { manner, stream: true }),
    )
  }
  await Promise.all(attempts)
}

/** Requests that are not to be kept, on every route that knows such. */
export async function sayUnkept(s: Speaker): Promise<void> {
  const store = false
  for (const stream of [false, true]) {
    await s.send('POST', chats, { body: chat(s, 'an unkept chat', { store, stream }) })
    await s.send('POST', responses, { body: response(s, 'an unkept response', { store, stream }) })
    await s.send('POST', comparisons, { body: comparison(s, 'an unkept comparison', { store, stream }) })
  }
  for (const manner of ['refuses', 'fails', 'mumbles', 'rambles']) {
    await s.send('POST', chats, { body: chat(s, `an unkept chat that ${manner}`, { manner, store }) })
    await s.send('POST', responses, {
      body: response(s, `an unkept response that ${manner}`, { manner, store }),
    })
  }
  const broken = chat(s, 'an unkept stream that breaks', { manner: 'breaks', store, stream: true })
  await s.send('POST', chats, { body: broken }).catch(() => undefined)
  const left = chat(s, 'an unkept stream whose client leaves', { manner: 'trails', store, stream: true })
  await s.send('POST', chats, { body: left, leavesAfter: patience }).catch(() => undefined)
}

/** Requests that are refused, on every route and where there is none. */
export async function beRefused(
  s: Speaker,
  routes: readonly string[],
  { address, bodyLimit }: { address: string; bodyLimit: number },
): Promise<void> {
  const posts = routes.filter(route => route.startsWith('POST ')).map(route => route.slice(5))
  for (const [what, body] of Object.entries(unusable(s, bodyLimit)))
    for (const path of posts) {
      const reply = await s.send('POST', path.replaceAll(':id', 'none'), { body })
      expect(reply.status, `${path}, a body that ${what}: ${reply.text}`).toBeLessThan(500)
    }
  const said = s.word('a refused request')
  const body = chat(s, 'a refused request')
  const refused: Record<string, Record<string, string>> = {
    'a content type': { 'content-type': `text/${said}` },
    'an encoding': { 'content-encoding': said },
    'a key': { authorization: `Bearer sk-stele-${s.markers.make('secret', 'a key that is none')}` },
    'no key': { authorization: said },
    'another user': { 'x-stele-user': s.word('another user') },
    'an Idempotency-Key': { 'idempotency-key': said.repeat(10) },
  }
  for (const [what, headers] of Object.entries(refused)) {
    const reply = await s.send('POST', chats, { body, headers })
    expect([400, 401, 403, 415], `${what}: ${reply.text}`).toContain(reply.status)
  }
  for (const path of [`/v1/${said}`, `/${said}?q=${said}`, `/v1/models/%zz${said}`, `${chats}/%00${said}`])
    await s.send('GET', path)
  await s.send('PATCH', `${chats}?note=${said}`)
  await Promise.all([
    sendRaw(address, `GARBAGE ${said}\r\n\r\n${said}`),
    sendRaw(address, `POST ${chats} HTTP/1.1\r\nHost: a\r\nContent-Length: nine\r\n\r\n${said}`),
    sendRaw(address, `GET /healthz HTTP/1.1\r\nHost: a\r\nx-note: ${said.repeat(2_000)}\r\n\r\n`),
    sendRaw(address, `GET /v1/%zz${said} HTTP/1.1\r\nHost: a\r\n\r\n`),
  ])
}

/** Leaves calls open, of which only a crash of the gateway makes an end. */
export function leaveOpen(s: Speaker): { readonly over: Promise<unknown> } {
  const open = (path: string, body: object) => s.send('POST', path, { body }).catch(() => undefined)
  return {
    over: Promise.all([
      open(chats, chat(s, 'a chat that is left open', { manner: 'hangs' })),
      open(chats, chat(s, 'a stream that is left open', { manner: 'trails', stream: true })),
      open(responses, response(s, 'a response that is left open', { manner: 'hangs', background: true })),
      open(
        responses,
        response(s, 'a streamed response that is left open', { manner: 'trails', stream: true }),
      ),
      open(chats, chat(s, 'a well chat that may be cut off', { manner: well })),
    ]),
  }
}
