import type { Kysely } from 'kysely'
import type { Row, Tables } from '../db/tables.ts'
import type { LimitScope } from './counted.ts'
import { defaultTimeZone, type Period } from './windows.ts'

/** The name of the one row that tells how the limits stand. */
export const stateName = 'limits'

/** A kind of limit of which there is at least one: only for these is anything looked up. */
export interface Shape {
  readonly scope: LimitScope
  readonly ofModel: boolean
  readonly period: Period
  /** Whether one of them caps tokens or money: then calls say what they may take. */
  readonly reserves: boolean
}

/** How the limits stand; changed by whoever changes them, alone. */
export interface LimitState {
  readonly version: number
  readonly timeZone: string
  readonly shapes: readonly Shape[]
}

export const noLimits: LimitState = { version: 0, timeZone: defaultTimeZone, shapes: [] }

export function stateOf(row: Omit<Row<'limit_state'>, 'name'> | undefined): LimitState {
  if (row === undefined) return noLimits
  return {
    version: row.version,
    timeZone: row.time_zone,
    shapes: JSON.parse(row.shapes) as Shape[],
  }
}

export async function readState(db: Kysely<Tables>): Promise<LimitState> {
  const row = await db.selectFrom('limit_state').selectAll().where('name', '=', stateName).executeTakeFirst()
  return stateOf(row)
}

/** Writes how the limits stand after a change of them, so that whoever writes next knows of it. */
export async function writeState(tx: Kysely<Tables>, timeZone: string, before: number): Promise<void> {
  const limits = await tx
    .selectFrom('limits')
    .select(['scope', 'period'])
    .select(eb => [
      eb.case().when('model', '=', '').then(0).else(1).end().as('of_model'),
      eb.fn
        .max(
          eb
            .case()
            .when(eb.or([eb('tokens', 'is not', null), eb('nanousd', 'is not', null)]))
            .then(1)
            .else(0)
            .end(),
        )
        .as('reserves'),
    ])
    .groupBy(['scope', 'period', 'of_model'])
    .execute()
  const shapes = limits.map(
    ({ scope, period, of_model, reserves }): Shape => ({
      scope: scope as LimitScope,
      ofModel: Number(of_model) === 1,
      period: period as Period,
      reserves: Number(reserves) === 1,
    }),
  )
  const row = { version: before + 1, time_zone: timeZone, shapes: JSON.stringify(shapes) }
  await tx
    .insertInto('limit_state')
    .values({ name: stateName, ...row })
    .onConflict(conflict => conflict.column('name').doUpdateSet(row))
    .execute()
}
