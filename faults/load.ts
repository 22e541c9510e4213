import { Agent } from 'undici'
import type { Gateway, Leaving, Question } from './ask.ts'
import type { Asked } from './journal.ts'
import { markText } from './marks.ts'
import { type Random, randomOf } from './random.ts'
import { askWithKey } from './repeat.ts'
import { contentOf } from './replies.ts'
import type { Arrival, Shape } from './shape.ts'
import { type Parameters, spellings } from './spellings.ts'
import { textOf } from './texts.ts'

export interface LoadOptions {
  /** Decides, with the round, everything about the load but its timing. */
  readonly seed: number
  readonly round: number
  /** Where the gateway is now; undefined while it is down. */
  readonly address: () => string | undefined
  readonly apiKey: string
  readonly shape: Shape
  /** Share of the questions whose client goes away before the reply is whole. */
  readonly leaveRate: number
  /** Share of the questions that are sent with an idempotency key. */
  readonly keyRate: number
  /** Questions under way at once; who comes later waits. */
  readonly maxUnderWay?: number
}

/** Clients at work, and what they saw. */
export interface Load {
  readonly asked: readonly Asked[]
  /** Resolves when so many questions have been asked. */
  started(count: number): Promise<void>
  /** Asks nothing more and resolves when every question under way has come to an end. */
  stop(): Promise<void>
}

const users = 7
const longestConversation = 12

/** How often it is looked whether the gateway is up again, in milliseconds. */
const downPause = 20

/** How long everybody holds back when somebody was told to come again later, in milliseconds. */
const backOff = 250

/** Of arrivals, the share that goes on with a conversation when one is at rest. */
const continued = 0.65

/** Of clients whose question failed, the share that asks another in its place; the others give up. */
const persistent = 0.5

/** Of answered questions with a key, the share that is asked again. */
const repeated = 0.3

type History = Parameters['messages'][number][]

interface Conversation {
  readonly number: number
  readonly user: string
  readonly model: string
  readonly write: (parameters: Parameters) => string
  readonly history: History
  turn: number
  retells: boolean
}

/** Starts clients that hold conversations through the gateway, as often and as long as the shape says. */
export function startLoad(options: LoadOptions): Load {
  const { seed, round, shape, maxUnderWay = 48 } = options
  const asked: Asked[] = []
  const resting: Conversation[] = []
  const underWay = new Set<Promise<void>>()
  const stopping = new AbortController()
  const dispatcher = new Agent({ connections: maxUnderWay * 2, keepAliveTimeout: 1_000 })
  const gateway: Gateway = { address: options.address, apiKey: options.apiKey, dispatcher }
  const random = randomOf(seed, round, 'load')
  const started = milestones()
  let conversations = 0
  let calmAt = 0

  /** Resolves when the gateway can be asked; false when the load ends before. */
  const isUp = async (): Promise<boolean> => {
    while (options.address() === undefined && !stopping.signal.aborted)
      await pause(downPause, stopping.signal)
    return !stopping.signal.aborted
  }

  const converse = async (conversation: Conversation, arrival: Arrival): Promise<void> => {
    const question = nextQuestion(conversation, arrival, options)
    const evenIfAnswered = randomOf(seed, question.asked.mark, 'repeats').chance(repeated)
    const outcome = await askWithKey(question.asked, gateway, { evenIfAnswered, isUp })
    asked.push(outcome)
    if (outcome.trouble === 'status 503') calmAt = performance.now() + backOff
    if (outcome.reply !== undefined) {
      conversation.history.push(question.message, {
        role: 'assistant',
        content: contentOf(outcome.mark),
      })
      conversation.retells = false
      if (conversation.turn < longestConversation) resting.push(conversation)
    } else if (randomOf(seed, outcome.mark, 'persists').chance(persistent)) {
      conversation.retells = true
      resting.push(conversation)
    }
  }

  const run = async (): Promise<void> => {
    for (const arrival of shape.arrivals(random)) {
      await pause(Math.max(arrival.gapMs, calmAt - performance.now()), stopping.signal)
      while (underWay.size >= maxUnderWay) await Promise.race(underWay)
      // Those who were connected have noticed; nobody else need fail to see that a gateway that is down records nothing.
      if (!(await isUp())) return
      const known =
        resting.length > 0 && random.chance(continued)
          ? resting.splice(random.integer(0, resting.length - 1), 1)[0]
          : undefined
      const conversation = known ?? newConversation(seed, round, conversations++)
      const exchange = converse(conversation, arrival).finally(() => underWay.delete(exchange))
      underWay.add(exchange)
      started.reached()
    }
  }

  const finished = run()
  return {
    asked,
    started: count => started.passed(count),
    async stop() {
      stopping.abort()
      await finished
      await Promise.all(underWay)
      if (!dispatcher.destroyed) await dispatcher.destroy()
    },
  }
}

function newConversation(seed: number, round: number, number: number): Conversation {
  const random = randomOf(seed, round, number, 'conversation')
  return {
    number,
    user: `user-${random.integer(1, users)}`,
    model: random.pick(['model-a', 'model-b']),
    write: random.pick(spellings),
    history: random.chance(0.3)
      ? [{ role: 'system', content: `Be brief. Conversation ${round}-${number}.` }]
      : [],
    turn: 0,
    retells: false,
  }
}

function nextQuestion(
  conversation: Conversation,
  { promptTokens, replyTokens }: Arrival,
  { seed, round, leaveRate, keyRate }: LoadOptions,
): { asked: Question; message: History[number] } {
  const { number, user, model, history, retells } = conversation
  const turn = conversation.turn++
  const mark = markText({ round, conversation: number, turn, replyTokens })
  const random = randomOf(seed, mark, 'question')
  // What the trace counts is the whole prompt; of a later turn's, most was said before.
  const text = textOf(random, turn === 0 ? promptTokens : Math.ceil(promptTokens / 8))
  const message = { role: 'user', content: `${mark} ${text}` }
  const isStream = random.chance(0.6)
  const hidesUsage = isStream && random.chance(0.5)
  const parameters = {
    model,
    messages: [...history, message],
    user,
    ...(isStream ? { stream: true as const } : {}),
    ...(isStream && !hidesUsage ? { stream_options: { include_usage: true as const } } : {}),
  }
  const body = conversation.write(parameters)
  const leaves = random.chance(leaveRate) ? leaving(random, replyTokens) : undefined
  const idempotencyKey = random.chance(keyRate) ? `key of ${mark}` : undefined
  return { asked: { mark, user, body, isStream, hidesUsage, retells, leaves, idempotencyKey }, message }
}

function leaving(random: Random, replyTokens: number): Leaving {
  return random.chance(0.4)
    ? { afterMs: random.integer(0, 60) }
    : { afterBytes: random.integer(1, replyTokens * 20) }
}

/** Counts, and lets others wait for a count. */
function milestones(): { reached(): void; passed(count: number): Promise<void> } {
  let count = 0
  let waiting: { count: number; resolve: () => void }[] = []
  return {
    reached() {
      count++
      for (const { resolve } of waiting.filter(one => one.count <= count)) resolve()
      waiting = waiting.filter(one => one.count > count)
    },
    passed: wanted =>
      wanted <= count ? Promise.resolve() : new Promise(resolve => waiting.push({ count: wanted, resolve })),
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (milliseconds < 1 || signal.aborted) return Promise.resolve()
  return new Promise(resolve => {
    const timer = setTimeout(go, milliseconds)
    signal.addEventListener('abort', go, { once: true })
    function go(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', go)
      resolve()
    }
  })
}
