import { isFields } from '../model/reply.ts'
import { eventData, SseSplitter } from '../model/sse.ts'

export const done = Buffer.from('data: [DONE]\n\n')

/** What a client is told of a stream before its first event. */
export const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Asks reverse proxies not to collect the stream before passing it on.
  'x-accel-buffering': 'no',
} as const

/** How much of a recorded stream is cut into events at a time, in bytes. */
const sliceLength = 65_536

/** The events of a recorded stream as they were passed on when it came, its end included. */
export function relayedEvents(transcript: Buffer, { hidesUsage }: { hidesUsage: boolean }): Buffer {
  const passed: Buffer[] = []
  for (const event of eventsOf(transcript)) {
    const data = eventData(event)
    if (data === '[DONE]') return Buffer.concat([...passed, event])
    const isHidden = hidesUsage && data !== undefined && isUsageOnly(JSON.parse(data))
    if (!isHidden) passed.push(event)
  }
  return Buffer.concat([...passed, done])
}

/** The events of a recorded stream, each as it came. */
export function* eventsOf(transcript: Buffer): Generator<Buffer> {
  const splitter = new SseSplitter()
  for (let at = 0; at < transcript.length; at += sliceLength)
    yield* splitter.push(transcript.subarray(at, at + sliceLength))
  yield* splitter.end().map(withBlankLine)
}

/** An event that its provider did not end: whatever follows must not become a part of it. */
export function withBlankLine(event: Buffer): Buffer {
  return Buffer.concat([event, Buffer.from(event.at(-1) === 0x0a ? '\n' : '\n\n')])
}

/** Whether a chunk says nothing but what the reply has cost: clients that did not ask for it do not get it. */
export function isUsageOnly(chunk: unknown): boolean {
  return (
    isFields(chunk) &&
    isFields(chunk['usage']) &&
    Array.isArray(chunk['choices']) &&
    chunk['choices'].length === 0
  )
}
