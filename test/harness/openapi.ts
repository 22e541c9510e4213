import { existsSync, readFileSync } from 'node:fs'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { default as addFormats } from 'ajv-formats'

/** OpenAI's description of its own API, which is not part of this project: another path may be given. */
const path =
  process.env['STELE_OPENAPI'] ?? new URL('../../../shared/data/openai-openapi.json', import.meta.url)

/** Whether the description is at hand. Without it tests cannot hold anything against it: they skip, and say so. */
export const openapiIsThere = existsSync(path)

if (!openapiIsThere)
  console.warn(
    `OpenAI's OpenAPI description is not at ${path}: replies are not held against it (STELE_OPENAPI names another place)`,
  )

const validators = new Map<string, ValidateFunction>()
let ajv: Ajv2020 | undefined

/**
 * What is wrong with a value that should be as a schema of OpenAI's description says; empty when nothing is.
 * @param schemaName as under `components.schemas`: `CreateChatCompletionResponse`
 */
export function validateOpenAI(schemaName: string, value: unknown): string[] {
  ajv ??= loaded()
  const validate = validators.get(schemaName) ?? ajv.getSchema(`openai#/components/schemas/${schemaName}`)
  if (validate === undefined) throw new Error(`OpenAI describes no schema ${schemaName}`)
  validators.set(schemaName, validate)
  if (validate(value) === true) return []
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
  )
}

function loaded(): Ajv2020 {
  const description: unknown = JSON.parse(readFileSync(path, 'utf8'), asJsonSchema)
  // Not strict: the description has members of its own (x-oaiMeta) and formats that say nothing to check.
  const made = new Ajv2020({ strict: false, allErrors: true, logger: false })
  addFormats.default(made)
  made.addFormat('unixtime', true)
  made.addSchema(description as object, 'openai')
  return made
}

/** Leaves out what OpenAPI 3.0 wrote otherwise than JSON Schema does: `nullable`, and discriminators without a mapping. */
function asJsonSchema(_name: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
  const { nullable, discriminator: _, ...schema } = value as Record<string, unknown>
  if (nullable !== true) return schema
  const { type, enum: values, ...rest } = schema
  if (typeof type !== 'string') return { anyOf: [schema, { type: 'null' }] }
  return {
    ...rest,
    type: [type, 'null'],
    ...(Array.isArray(values) ? { enum: [...values, null] } : {}),
  }
}
