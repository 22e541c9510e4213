import {
  type Answer,
  brokenStream,
  eventStream,
  headThenSilence,
  json,
  reset,
  silence,
  stream,
  type Upstream,
  type UpstreamRequest,
  whole,
} from '../gateway/upstream.ts'
import { chunk, done, event, openAiError, usageChunk } from '../gateway/wire.ts'
import { completion } from '../harness/chat.ts'
import type { Kind, Markers } from './markers.ts'

/** Settings that replies of the stand-in go beyond. */
export const replyLimit = 60_000

/** Words that a name of a model may contain, and what a provider does that is asked for it. */
const manners: Readonly<Record<string, (says: Says) => Answer>> = {
  refuses: ({ text }) =>
    json(openAiError(text('a refusal'), 'context_length_exceeded'), { status: 400, ...told(text) }),
  denies: ({ text }) => json(openAiError(text('a denial'), 'invalid_api_key'), { status: 401 }),
  fails: ({ text }) => json(openAiError(text('a failure')), { status: 500 }),
  stumbles: ({ text }) =>
    whole(`<html>${text('a page')}</html>`, { status: 502, 'content-type': 'text/html' }),
  mumbles: ({ text }) => whole(`{"choices": [{"message": "${text('what is no JSON')}`),
  drifts: ({ text }) => json({ object: 'list', note: text('what is no completion') }),
  apologizes: ({ text }) => json(openAiError(text('an error with 200'))),
  resets: () => reset,
  hangs: () => silence,
  stalls: () => headThenSilence(eventStream),
  rambles: ({ text }) => whole(`{"choices":[${JSON.stringify(text('too much')).repeat(400)}`),
  breaks: ({ text }) => brokenStream([chunk({ content: text('a broken stream') })], Promise.resolve()),
  trails:
    ({ text }) =>
    async (reply, request) => {
      reply.head(200, eventStream)
      await reply.write(chunk({ content: text('a stream that goes on') }))
      await request.over
    },
  garbles: ({ text }) =>
    stream([chunk({ content: text('a garbled stream') }), `data: {"choices": [${text('garbage')}\n\n`, done]),
  errs: ({ text }) =>
    stream([chunk({ content: text('a part') }), event(openAiError(text('an error in a stream')))]),
}

interface Says {
  readonly text: (what: string) => string
}

/** What a provider may say in the head of a reply. */
function told(text: Says['text']): Record<string, string> {
  const word = /[a-z0-9]{20,}/.exec(text('a header'))?.[0] ?? ''
  return { 'x-request-id': word, 'x-note': word, 'set-cookie': `note=${word}` }
}

/** Makes the stand-in answer every request by the name of its model, with markers of the kind that the request has. */
export function speakInMarkers(upstream: Upstream, markers: Markers): void {
  const answer: Answer = (reply, request) => answerTo(request, markers)(reply, request)
  upstream.answer(answer)
}

function answerTo(request: UpstreamRequest, markers: Markers): Answer {
  const { model = '' } = JSON.parse(request.text) as { model?: string }
  const kind = markers.kindIn(request.text)
  // Whoever says nothing that is marked gets nothing that is.
  if (kind === undefined) return json(completion('Hello'))
  const text = (what: string): string => markers.text(kind, `${what} by the provider of ${model}`)
  const manner = Object.keys(manners).find(word => model.includes(word))
  if (manner !== undefined) return manners[manner]?.({ text }) ?? silence
  const reply = new Replies(markers, kind, model)
  if (request.path.endsWith('/embeddings'))
    return json({ object: 'list', data: [{ index: 0, embedding: [0.6, 0.8] }], note: text('a note') })
  if (request.path.endsWith('/moderations')) return json({ id: 'modr-1', results: [], note: text('a note') })
  if (request.path.endsWith('/completions') && !request.path.includes('chat'))
    return json({ id: 'cmpl-1', object: 'text_completion', choices: [{ text: text('a text'), index: 0 }] })
  return request.text.includes('"stream":true') ? reply.streamed() : reply.whole()
}

/** Replies in which everything that can hold words does. */
class Replies {
  readonly #text: (what: string) => string
  readonly #long: string
  readonly #id: string
  readonly #model: string
  readonly #finish: string

  constructor(markers: Markers, kind: Kind, model: string) {
    this.#text = what => markers.text(kind, `${what} of a reply of ${model}`)
    this.#long = markers.long(kind, `a long reply of ${model}`)
    this.#id = `chatcmpl-${markers.make('label', 'the id of a reply')}`
    this.#model = markers.make('model', 'the model of a reply')
    this.#finish = markers.make('label', 'the finish reason of a reply')
  }

  get #message(): Record<string, unknown> {
    const text = this.#text
    return {
      reasoning_content: text('reasoning'),
      reasoning: text('other reasoning'),
      refusal: text('a refusal'),
      annotations: [{ type: 'url_citation', url_citation: { url: text('a citation') } }],
      audio: { transcript: text('a transcript') },
      tool_calls: [
        {
          id: `call_${text('the id of a tool call')}`,
          type: 'function',
          function: { name: 'note', arguments: JSON.stringify({ note: text('arguments') }) },
        },
      ],
    }
  }

  whole(): Answer {
    const { message, ...rest } = { message: this.#message }
    const body = completion(this.#long, { id: this.#id, model: this.#model, message })
    const [choice] = body['choices'] as Record<string, unknown>[]
    const choices = [
      { ...choice, finish_reason: this.#finish, logprobs: { content: this.#text('logprobs') } },
    ]
    return json(
      { ...body, ...rest, choices, service_tier: this.#text('a tier'), system_fingerprint: this.#text('fp') },
      { ...told(this.#text), 'content-type': `application/json; note=${this.#finish}` },
    )
  }

  streamed(): Answer {
    const id = { id: this.#id }
    return stream([
      `: ${this.#text('a comment').replaceAll('\n', ' ')}\n\n`,
      chunk({ role: 'assistant', content: '' }, id),
      chunk({ reasoning_content: this.#text('streamed reasoning') }, id),
      chunk({ content: this.#text('a streamed word') }, id),
      chunk({ content: this.#long }, id),
      chunk({ tool_calls: [{ index: 0, ...(this.#message['tool_calls'] as object[])[0] }] }, id),
      chunk({}, { ...id, finish: this.#finish }),
      usageChunk(7, 9, this.#id),
      done,
    ])
  }
}
