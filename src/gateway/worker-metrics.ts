import type { Worker } from 'node:cluster'
import { setTimeout as pauseFor } from 'node:timers/promises'
import { AggregatorRegistry } from 'prom-client'
import { z } from 'zod'

/** The figures of a process, as prom-client hands them on. */
type Figures = object[]

/** How long a worker may take to tell its figures, in milliseconds; the others' are told without it then. */
const tellTime = 2_000

const messages = z.discriminatedUnion('kind', [
  /** A worker asks for the figures of all, and gets them as text. */
  z.object({ kind: z.literal('metrics-asked'), id: z.number() }),
  z.object({ kind: z.literal('metrics-told'), id: z.number(), text: z.string() }),
  /** The process that started the workers asks each for its own. */
  z.object({ kind: z.literal('metrics-wanted'), id: z.number() }),
  z.object({ kind: z.literal('metrics-given'), id: z.number(), figures: z.array(z.looseObject({})) }),
])

type Message = z.infer<typeof messages>

let lastId = 0

/** The next message to come of a kind with this id; undefined when it takes too long. */
async function answer<K extends Message['kind']>(
  from: Pick<NodeJS.Process | Worker, 'on' | 'off'>,
  kind: K,
  id: number,
  time: number,
): Promise<Extract<Message, { kind: K }> | undefined> {
  const { promise, resolve } = Promise.withResolvers<Extract<Message, { kind: K }>>()
  const listener = (received: unknown): void => {
    const { data } = messages.safeParse(received)
    if (data?.kind === kind && data.id === id) resolve(data as Extract<Message, { kind: K }>)
  }
  from.on('message', listener)
  const timer = new AbortController()
  try {
    return await Promise.race([
      promise,
      pauseFor(time, undefined, { signal: timer.signal }).catch(() => undefined),
    ])
  } finally {
    timer.abort()
    from.off('message', listener)
  }
}

/** In the process that started the workers: adds up the figures of all for whichever is asked. */
export function tellMetricsOfAll(worker: Worker, running: () => readonly Worker[]): void {
  worker.on('message', (received: unknown) => {
    const { data } = messages.safeParse(received)
    if (data?.kind !== 'metrics-asked') return
    void addUp(running()).then(text => {
      if (worker.isConnected())
        worker.send({ kind: 'metrics-told', id: data.id, text } satisfies Message, () => undefined)
    })
  })
}

async function addUp(workers: readonly Worker[]): Promise<string> {
  const figures = await Promise.all(
    workers.map(async worker => {
      if (!worker.isConnected()) return undefined
      const id = ++lastId
      const given = answer(worker, 'metrics-given', id, tellTime)
      worker.send({ kind: 'metrics-wanted', id } satisfies Message, () => undefined)
      return (await given)?.figures
    }),
  )
  const known = figures.filter(one => one !== undefined)
  return AggregatorRegistry.aggregate(known).metrics()
}

/** In a worker: tells its own figures when they are asked for. */
export function tellOwnMetrics(worker: Worker, figures: () => Promise<Figures>): void {
  worker.on('message', (received: unknown) => {
    const { data } = messages.safeParse(received)
    if (data?.kind !== 'metrics-wanted') return
    void figures().then(own =>
      worker.send({ kind: 'metrics-given', id: data.id, figures: own }, () => undefined),
    )
  })
}

/** In a worker: the figures of all as text; undefined when nobody tells them in time. */
export async function askMetricsOfAll(worker: Worker): Promise<string | undefined> {
  const id = ++lastId
  const told = answer(worker, 'metrics-told', id, 2 * tellTime)
  worker.send({ kind: 'metrics-asked', id } satisfies Message, () => undefined)
  return (await told)?.text
}
