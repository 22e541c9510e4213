import { Reserver } from '../limits/reserve.ts'
import {
  type AskedReservation,
  type BegunCall,
  begunCall,
  type CallStart,
  unplacedCall,
} from '../model/call.ts'
import { askedIn, type BeginInput } from './begin-input.ts'
import type { BeginAllOperation, BeginOperation, OperationResult } from './operations.ts'

type Begin = BeginOperation | BeginAllOperation
type Submit = (operation: Begin) => Promise<OperationResult>

/** What a call may take that no provider is asked for. */
export const takesNothing: AskedReservation = {
  tokens: 0,
  nanousd: 0,
  isBound: false,
  missingBound: undefined,
  missingToolBound: undefined,
}

/** Rounds that saying what calls may take can need: not said, said quickly, said exactly. */
const mostRounds = 3

/**
 * Begins calls, which say what they may take where limits ask for it. Whether they do is known from the calls before; where that was
 * wrong, nothing was begun, and it is said then.
 */
export class Reserving {
  readonly #reserver: Reserver
  readonly #submit: Submit
  #isAsked = false

  constructor(reserver: Reserver | undefined, submit: Submit) {
    this.#reserver = reserver ?? new Reserver({})
    this.#submit = submit
  }

  begin(start: CallStart, input: BeginInput): Promise<OperationResult> {
    return this.#begin([start], [input], ([only = start]) => ({ kind: 'begin', start: only }))
  }

  beginAll(starts: readonly CallStart[], inputs: readonly BeginInput[]): Promise<OperationResult> {
    return this.#begin(starts, inputs, all => ({ kind: 'begin-all', starts: all }))
  }

  async #begin(
    starts: readonly CallStart[],
    inputs: readonly BeginInput[],
    operationOf: (starts: readonly CallStart[]) => Begin,
  ): Promise<OperationResult> {
    let wants: OperationResult['wants'] = this.#isAsked ? 'bound' : undefined
    for (let round = 1; ; round++) {
      if (wants !== undefined) await this.#reserver.ready()
      const said = wants === undefined ? starts : await this.#saying(wants, starts, inputs)
      const result = await this.#submit(operationOf(said))
      if (result.reserves !== undefined) this.#isAsked = result.reserves
      if (result.wants === undefined) return result
      if (round === mostRounds) throw new Error('calls say what they may take and are asked again')
      wants = result.wants
    }
  }

  #saying(
    how: 'bound' | 'exact',
    starts: readonly CallStart[],
    inputs: readonly BeginInput[],
  ): Promise<readonly CallStart[]> {
    return Promise.all(
      starts.map(async (start, index) => {
        const request = askedIn(inputs[index] ?? {})()
        return { ...start, reservation: await this.#reserver[how]({ ...start, request }) }
      }),
    )
  }
}

/** A begun call by what its begin came to. */
export function begunBy(start: CallStart, { decision, limits }: OperationResult): BegunCall {
  const call = decision === undefined ? unplacedCall(start) : begunCall(start, decision)
  return limits === undefined ? call : { ...call, limits }
}

/** A call as ending it needs it. */
export function withoutStanding<C extends BegunCall>(call: C): C {
  return call.limits === undefined ? call : { ...call, limits: undefined }
}
