import type { DocumentTypeDefinition } from '../../documents/definition.ts'
import { typeObject } from '../../documents/document-object.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { operatorHere } from '../operator.ts'
import { say, writeJson } from '../output.ts'
import { printableLine } from '../printable.ts'
import { readJsonFile } from '../read-json.ts'

export interface RegisterTypeOptions extends GlobalOptions {
  readonly json?: boolean
}

/** Registers a version of a document type, as the configuration file would hold it. */
export async function registerType(file: string, options: RegisterTypeOptions): Promise<void> {
  const definition = await readJsonFile(file)
  const type = await withStele(options, ({ documents }) =>
    // Whatever it is, it is checked where it is registered.
    documents.register(definition as unknown as DocumentTypeDefinition, operatorHere()),
  )
  if (options.json === true) return writeJson(typeObject(type, { isWhole: true }))
  say(`Registered: ${printableLine(type.name)} ${printableLine(type.version)}`)
}
