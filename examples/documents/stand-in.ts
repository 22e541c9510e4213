import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

interface Asked {
  readonly model: string
  readonly messages: readonly { readonly role: string; readonly content: string }[]
}

/** A provider on this machine that speaks OpenAI's API: forgetful the first time, sure of itself when it is told so. */
export async function startStandIn(): Promise<{ readonly url: string; close(): void }> {
  const server = createServer((request, response) => {
    void text(request).then(body => {
      const asked = JSON.parse(body) as Asked
      response.setHeader('content-type', 'application/json')
      const isTooMuch = asked.messages.some(({ content }) => content.includes('root canal'))
      response.writeHead(isTooMuch ? 429 : 200)
      response.end(JSON.stringify(isTooMuch ? tooMuch : completion(asked)))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/v1`, close: () => server.close() }
}

const tooMuch = { error: { message: 'Rate limit reached', type: 'rate_limit', code: null } }

function completion({ model, messages }: Asked): object {
  const isRepair = messages.some(({ role }) => role === 'assistant')
  const content = JSON.stringify({
    title: 'Your treatment plan',
    summary: 'Clear aligners move your teeth a little with every new pair.',
    key_points: ['Wear them 22 hours a day', 'A new pair every two weeks'],
    next_appointment: isRepair ? '2026-12-01' : 'in three weeks',
  })
  const usage = { prompt_tokens: 120, completion_tokens: 60, total_tokens: 180 }
  const message = { role: 'assistant', content }
  return {
    id: 'chatcmpl-stand-in',
    object: 'chat.completion',
    created: 0,
    model: `${model}-2024-08-06`,
    choices: [{ index: 0, message, finish_reason: 'stop' }],
    usage,
  }
}
