import { describe, expect, test } from 'vitest'
import { rowsOf } from '../harness/rows.ts'
import { cacheOf, completionOf, exact, startCaching } from './caching-start.ts'
import { json, startUpstream, stream } from './upstream.ts'
import { chunk, done, questionOf } from './wire.ts'

describe('is not given again', () => {
  test.each([
    [
      'a reply that was cut off',
      completionOf('x', {
        choices: [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'length' }],
      }),
    ],
    [
      'a refusal',
      completionOf('x', {
        choices: [
          { index: 0, message: { role: 'assistant', content: null, refusal: 'no' }, finish_reason: 'stop' },
        ],
      }),
    ],
    ['an empty answer', completionOf('')],
    [
      'what was held back',
      completionOf('x', {
        choices: [
          { index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'content_filter' },
        ],
      }),
    ],
  ])('%s', async (_, reply) => {
    const upstream = await startUpstream(json(reply))
    const { running, asked } = await startCaching(exact, { upstream })
    for (let i = 0; i < 2; i++) expect(cacheOf(await running.post(questionOf('Hi')))).toBe('miss')
    expect(asked()).toBe(2)
  })

  test('an error', async () => {
    const upstream = await startUpstream(json({ error: { message: 'no' } }, { status: 400 }))
    const { running, asked } = await startCaching(exact, { upstream })
    for (let i = 0; i < 2; i++) expect((await running.post(questionOf('Hi'))).status).toBe(400)
    expect(asked()).toBe(2)
  })

  test('a stream that broke off', async () => {
    const upstream = await startUpstream(stream([chunk({ content: 'half' })]))
    const { running, asked } = await startCaching(exact, { upstream })
    for (let i = 0; i < 2; i++) await running.post(questionOf('Hi', { stream: true }))
    expect(asked()).toBe(2)
    expect(await rowsOf(running.stele, 'cache_entries')).toEqual([])
  })

  test('a stream that says more than can be put together', async () => {
    const thinking = [
      chunk({ reasoning_content: 'hm' }),
      chunk({ content: 'x' }),
      chunk({}, { finish: 'stop' }),
      done,
    ]
    const upstream = await startUpstream(stream(thinking))
    const { running, asked } = await startCaching(exact, { upstream })
    for (let i = 0; i < 2; i++) await running.post(questionOf('Hi', { stream: true }))
    expect(asked()).toBe(2)
  })

  test('what is not to be kept', async () => {
    const { running, asked } = await startCaching()
    // Without a first word that is kept there is no key with which anything could be.
    await running.post(questionOf('Hello'), { 'x-stele-cache': 'off' })
    for (let i = 0; i < 2; i++)
      expect(cacheOf(await running.post(questionOf('Hi', { store: false })))).toBeUndefined()
    expect(asked()).toBe(3)
    expect(await rowsOf(running.stele, 'cache_entries')).toEqual([])
  })

  test('what only digests are kept of', async () => {
    const { running, asked } = await startCaching(exact, { store: { contentMode: 'hashed' } })
    for (let i = 0; i < 2; i++) expect(cacheOf(await running.post(questionOf('Hi')))).toBeUndefined()
    expect(asked()).toBe(2)
    expect(await rowsOf(running.stele, 'cache_entries')).toEqual([])
  })

  test('what says more, as a stream that could not say it', async () => {
    const message = { role: 'assistant', content: 'x', reasoning_content: 'hm' }
    const upstream = await startUpstream(
      json(completionOf('', { choices: [{ index: 0, message, logprobs: null, finish_reason: 'stop' }] })),
    )
    const { running } = await startCaching(exact, { upstream })
    await running.post(questionOf('Hi'))
    expect((await running.post(questionOf('Hi'))).text).toContain('"reasoning_content":"hm"')
    expect(cacheOf(await running.post(questionOf('Hi', { stream: true })))).toBe('miss')
  })
})
