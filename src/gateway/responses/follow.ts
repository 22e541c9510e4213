import type { FastifyReply } from 'fastify'
import { HttpClient } from '../client.ts'
import type { DetachedClient } from './detached-client.ts'
import { eventsAfter } from './replay.ts'

/** Sends somebody the events of a response that is being made, from the first on. It may leave: the response is made on. */
export async function follow(
  made: DetachedClient,
  after: number | undefined,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const client = new HttpClient(reply)
  try {
    client.startStream({})
    for await (const events of made.sent(client.signal)) {
      const wanted = eventsAfter(events, after)
      if (wanted.length > 0) await client.write(wanted)
    }
    client.endStream('')
  } finally {
    client.release()
  }
  return reply
}
