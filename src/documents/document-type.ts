import { SteleError } from '../errors.ts'
import type { JsonObject } from '../model/json-object.ts'
import type { StoredDocumentType } from '../store/document-types.ts'
import { type DocumentTypeDefinition, definitionFrom } from './definition.ts'
import { compileSchema, type Misfit, misfitsText, type SchemaCheck } from './json-schema.ts'
import { compileTemplate, type Template } from './template.ts'

/** A version of a document type, ready to be used. */
export interface DocumentType {
  readonly definition: DocumentTypeDefinition
  /** Its prompt for an input, as messages. */
  prompt(input: JsonObject): { readonly role: string; readonly content: string }[]
  /** @throws SteleError document_input_invalid, which names where it does not fit */
  checkInput(input: JsonObject, size: number): void
  checkOutput(output: unknown, size: number): readonly Misfit[]
}

/** @throws SteleError document_type_invalid */
export function compileType(definition: DocumentTypeDefinition): DocumentType {
  const { name, prompt, inputSchema, outputSchema } = definition
  const system = prompt.system === undefined ? undefined : compileTemplate('prompt.system', prompt.system)
  const user = compileTemplate('prompt.user', prompt.user)
  const fitsInput = compileSchema('inputSchema', inputSchema)
  const fitsOutput: SchemaCheck = compileSchema('outputSchema', outputSchema)
  const message = (role: string, template: Template | undefined, input: JsonObject) =>
    template === undefined ? [] : [{ role, content: template(input) }]
  return {
    definition,
    prompt: input => [...message('system', system, input), ...message('user', user, input)],
    checkInput(input, size) {
      const misfits = fitsInput(input, size)
      if (misfits.length === 0) return
      const details = { type: name, problems: misfitsText(misfits) }
      throw new SteleError('document_input_invalid', details, { param: `input${misfits[0]?.path ?? ''}` })
    },
    checkOutput: fitsOutput,
  }
}

/** Versions that are kept ready: compiling one takes milliseconds. */
const mostReady = 200

const ready = new Map<string, DocumentType>()

/** A version on record, ready to be used: its content never changes. */
export function readyType({ definition }: Pick<StoredDocumentType, 'definition'>): DocumentType {
  const known = ready.get(definition)
  if (known !== undefined) return known
  const compiled = compileType(definitionFrom(definition))
  if (ready.size >= mostReady) ready.clear()
  ready.set(definition, compiled)
  return compiled
}
