import fc from 'fast-check'
import { expect } from 'vitest'
import type { SettledCall } from '../../src/model/call.ts'
import { begin } from '../harness/chat.ts'
import { failure } from '../harness/errors.ts'
import {
  type Ending,
  expectRecord,
  outcomeOf,
  type RealRecorder,
  type RecorderModel,
  requestOf,
  slots,
  type Variant,
} from './recorder-model.ts'

type Command = fc.AsyncCommand<RecorderModel, RealRecorder>

/** One operation on one call. */
interface Operation {
  /** Whether it can be asked for as the model stands. */
  isPossible(model: RecorderModel): boolean
  /** Changes the model; the function returned does the same to the recorder and expects what the model says. */
  plan(model: RecorderModel): (real: RealRecorder) => Promise<SettledCall | undefined>
  readonly slot: number
  toString(): string
}

function beginning(slot: number, variant: Variant): Operation {
  return {
    slot,
    isPossible: () => true,
    plan(model) {
      const expected = model.begin(slot, variant)
      return async real => {
        const begun = begin(real.stele, requestOf(slot, variant), { callId: real.ids[slot] })
        if (expected !== 'begun') return void (await failure(expected, begun))
        const call = await begun
        const before = real.begun.get(slot)
        // What was decided at first holds: where the call's messages are, and how its reply is joined to them.
        expect({ ...call, createdAt: 0 }).toEqual({ ...(before ?? call), createdAt: 0 })
        real.begun.set(slot, before ?? call)
        return undefined
      }
    },
    toString: () => `begin ${slot}.${variant}`,
  }
}

function settling(slot: number, ending: Ending): Operation {
  return {
    slot,
    isPossible: model => model.calls[slot] !== undefined,
    plan(model) {
      const expected = model.settle(slot, ending)
      return async real => {
        const call = real.begun.get(slot)
        // A call that was recorded whole was never held by anybody who could settle it.
        if (call === undefined) return undefined
        return expectSettled(expected, real.stele.recorder.settle(call, outcomeOf(slot, ending)))
      }
    },
    toString: () => `settle ${slot} as ${ending}`,
  }
}

function recording(slot: number, variant: Variant, ending: Ending): Operation {
  return {
    slot,
    isPossible: () => true,
    plan(model) {
      const expected = model.record(slot, variant, ending)
      return async real => {
        const input = {
          userId: 'ada',
          provider: 'test',
          body: requestOf(slot, variant),
          callId: real.ids[slot],
        }
        return expectSettled(expected, real.stele.recorder.record(input, outcomeOf(slot, ending)))
      }
    },
    toString: () => `record ${slot}.${variant} as ${ending}`,
  }
}

async function expectSettled(
  expected: ReturnType<RecorderModel['record']>,
  settling: Promise<SettledCall>,
): Promise<SettledCall | undefined> {
  if (expected === 'call_id_conflict' || expected === 'call_orphaned') {
    await failure(expected, settling)
    return undefined
  }
  const settled = await settling
  expect(settled.isRepeat).toBe(expected === 'repeated')
  return settled
}

/** Operations on different calls, all at once: they share a batch. */
class Together implements Command {
  readonly operations: readonly Operation[]

  constructor(operations: readonly Operation[]) {
    this.operations = operations
  }

  check(model: Readonly<RecorderModel>): boolean {
    return this.operations.every(operation => operation.isPossible(model))
  }

  async run(model: RecorderModel, real: RealRecorder): Promise<void> {
    const planned = this.operations.map(operation => operation.plan(model))
    await Promise.all(planned.map(run => run(real)))
  }

  toString(): string {
    return this.operations.join(' & ')
  }
}

/** Several times the same at once: one of them may do it, the others find it done. */
class AtOnce implements Command {
  readonly slot: number
  readonly variant: Variant
  readonly ending: Ending

  constructor(slot: number, variant: Variant, ending: Ending) {
    this.slot = slot
    this.variant = variant
    this.ending = ending
  }

  check(): boolean {
    return true
  }

  async run(model: RecorderModel, { stele, ids }: RealRecorder): Promise<void> {
    const { slot, variant, ending } = this
    const expected = model.record(slot, variant, ending)
    const input = { userId: 'ada', provider: 'test', body: requestOf(slot, variant), callId: ids[slot] }
    const all = Array.from({ length: 4 }, () => stele.recorder.record(input, outcomeOf(slot, ending)))
    if (expected === 'call_id_conflict' || expected === 'call_orphaned') {
      for (const one of all) await failure(expected, one)
      return
    }
    const settled = await Promise.all(all)
    expect(settled.filter(one => !one.isRepeat)).toHaveLength(expected === 'settled' ? 1 : 0)
    expect(new Set(settled.map(one => one.conversationId)).size).toBe(1)
  }

  toString(): string {
    return `record ${this.slot}.${this.variant} as ${this.ending} four times at once`
  }
}

/** The store is closed and opened again: what is open stays open, and can be settled. */
class Restart implements Command {
  check(): boolean {
    return true
  }

  async run(model: RecorderModel, real: RealRecorder): Promise<void> {
    await real.stele.close()
    real.stele = await real.place.stele()
    expect(await real.stele.recorder.start()).toBe(0)
    await expectRecord(model, real.stele, real.ids)
  }

  toString(): string {
    return 'restart'
  }
}

/** No process ever has this number. */
const noProcess = 2 ** 31 - 2

/** Every process that recorded so far turns out to be dead; whoever starts next finds what they left open. */
class Crash implements Command {
  check(): boolean {
    return true
  }

  async run(model: RecorderModel, real: RealRecorder): Promise<void> {
    const open = model.openCount
    await real.stele.close()
    real.stele = await real.place.stele()
    await real.stele.database.kysely.updateTable('instances').set({ pid: noProcess }).execute()
    expect(await real.stele.recorder.start()).toBe(open)
    model.crash()
    await expectRecord(model, real.stele, real.ids)
  }

  toString(): string {
    return 'crash'
  }
}

const slot = fc.nat({ max: slots - 1 })
const variant = fc.constantFrom<Variant[]>(0, 0, 0, 1)
const ending = fc.constantFrom<Ending[]>('completed', 'completed', 'failed', 'aborted')

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(slot, variant).map(given => beginning(...given)) },
  { weight: 3, arbitrary: fc.tuple(slot, ending).map(given => settling(...given)) },
  { weight: 2, arbitrary: fc.tuple(slot, variant, ending).map(given => recording(...given)) },
)

const together = fc
  .uniqueArray(operation, { minLength: 1, maxLength: slots, selector: one => one.slot })
  .map(operations => new Together(operations))

/** Each is as likely as the others; opening a store takes longer than all the rest. */
export const commands: fc.Arbitrary<Command>[] = [
  ...Array.from({ length: 8 }, () => together),
  fc.tuple(slot, variant, ending).map(given => new AtOnce(...given)),
  fc.constant(new Restart()),
  fc.constant(new Crash()),
]
