import { setTimeout as sleep } from 'node:timers/promises'
import type { Gateway } from './gateway.ts'
import type { PostgresVictim } from './postgres.ts'
import type { Fault, Step } from './schedule.ts'

/** What faults are done to. Of two faults to the same part the second waits for the first; else they overlap. */
export interface Victims {
  readonly gateway: Gateway
  readonly postgres: PostgresVictim | undefined
}

/** Does to one part after another what it is asked to. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

type Action = (victims: Victims, step: Step) => Promise<void>

const gatewayActions: Partial<Record<Fault, Action>> = {
  async 'gateway killed'({ gateway }, { holdMs }) {
    await gateway.kill()
    await sleep(holdMs)
    await gateway.start()
  },
  async 'gateway restarted'({ gateway }) {
    await gateway.stop()
    await gateway.start()
  },
  async 'gateway frozen'({ gateway }, { holdMs }) {
    gateway.freeze()
    await sleep(holdMs)
    gateway.thaw()
  },
  async 'disk full'({ gateway }, { holdMs, fileLimit = 0 }) {
    await gateway.stop()
    if (await gateway.startLimited(fileLimit)) await sleep(holdMs)
    await gateway.kill()
    await gateway.start()
  },
}

const databaseActions: Partial<Record<Fault, (postgres: PostgresVictim, step: Step) => Promise<void>>> = {
  async 'database killed'(postgres, { holdMs }) {
    await postgres.kill()
    await sleep(holdMs)
    await postgres.start()
  },
  async 'database restarted'(postgres, { holdMs }) {
    await postgres.shutDown()
    await sleep(holdMs)
    await postgres.start()
  },
  async 'database frozen'(postgres, { holdMs }) {
    await postgres.freeze()
    await sleep(holdMs)
    postgres.thaw()
  },
  async 'sessions ended'(postgres, { holdMs }) {
    await postgres.terminateSessions()
    await sleep(holdMs / 4)
    await postgres.terminateSessions()
  },
  async 'connections taken'(postgres, { holdMs }) {
    await postgres.terminateSessions()
    const letGo = await postgres.crowd()
    await sleep(holdMs)
    await letGo()
  },
}

/** Makes a step's fault happen and pass again. */
export function carryOut(
  victims: Victims,
  turns: { readonly gateway: Turns; readonly database: Turns },
  step: Step,
): Promise<void> {
  const onGateway = gatewayActions[step.fault]
  if (onGateway !== undefined) return turns.gateway.take(() => onGateway(victims, step))
  const { postgres } = victims
  const onDatabase = databaseActions[step.fault]
  if (postgres === undefined || onDatabase === undefined)
    throw new Error(`there is nothing to do ${step.fault} to`)
  return turns.database.take(() => onDatabase(postgres, step))
}
