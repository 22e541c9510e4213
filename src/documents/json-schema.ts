import { Ajv, type AnySchemaObject, type ErrorObject, type ValidateFunction } from 'ajv'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { reasonOf } from '../errors.ts'
import { invalidType } from './definition.ts'

/** What does not fit a schema, and where: a JSON pointer, '' for all of it. */
export interface Misfit {
  readonly path: string
  readonly message: string
}

/** Looks whether a value fits; empty when it does. */
export type SchemaCheck = (value: unknown, size: number) => readonly Misfit[]

/** Misfits told of one value. */
const mostTold = 10

const longestPath = 200

/** Characters of a value of which all misfits are looked for: a large one may have a million. */
const smallEnough = 64 * 1024

/**
 * Compiles a JSON Schema: of draft 2020-12, unless it names 2019-09 or draft 7. Formats are checked, unknown keywords are mistakes,
 * and nothing is fetched. @throws SteleError document_type_invalid
 */
export function compileSchema(name: string, schema: Readonly<Record<string, unknown>>): SchemaCheck {
  const quick = compile(name, schema, false)
  let thorough: ValidateFunction | undefined
  return (value, size) => {
    if (quick(value)) return []
    if (size > smallEnough) return toldOf(quick.errors)
    thorough ??= compile(name, schema, true)
    thorough(value)
    return toldOf(thorough.errors ?? quick.errors)
  }
}

function compile(name: string, schema: AnySchemaObject, allErrors: boolean): ValidateFunction {
  try {
    const ajv = new (dialectOf(schema))({ allErrors, strictTypes: false, strictTuples: false, logger: false })
    formats.default(ajv)
    return ajv.compile(schema)
  } catch (error) {
    throw invalidType(`${name}: ${reasonOf(error)}`, name)
  }
}

function dialectOf({ $schema }: AnySchemaObject): typeof Ajv | typeof Ajv2019 | typeof Ajv2020 {
  if (typeof $schema !== 'string') return Ajv2020
  if (/draft-0[67]/.test($schema)) return Ajv
  return $schema.includes('2019-09') ? Ajv2019 : Ajv2020
}

function toldOf(errors: readonly ErrorObject[] | null | undefined): Misfit[] {
  return (errors ?? []).slice(0, mostTold).map(({ instancePath, message, keyword, params }) => ({
    path: instancePath.slice(0, longestPath),
    message: `${message ?? 'does not fit'}${detailOf(keyword, params)}`,
  }))
}

/** What a message leaves out. */
function detailOf(keyword: string, params: Readonly<Record<string, unknown>>): string {
  if (keyword === 'additionalProperties')
    return ` ('${String(params['additionalProperty']).slice(0, longestPath)}')`
  if (keyword === 'unevaluatedProperties')
    return ` ('${String(params['unevaluatedProperty']).slice(0, longestPath)}')`
  if (keyword === 'enum') return ` (${JSON.stringify(params['allowedValues']).slice(0, longestPath)})`
  return ''
}

/** Misfits in one line. */
export function misfitsText(misfits: readonly Misfit[]): string {
  return misfits.map(({ path, message }) => `${path === '' ? '(all of it)' : path} ${message}`).join('; ')
}
