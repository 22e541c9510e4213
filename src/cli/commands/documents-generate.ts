import { documentObject } from '../../documents/document-object.ts'
import { SteleError } from '../../errors.ts'
import { generatorOf } from '../../gateway/documents/generator.ts'
import { createProviders } from '../../providers/registry.ts'
import { configOf, type GlobalOptions, withStele } from '../open-store.ts'
import { say, writeJson } from '../output.ts'
import { readJsonFile } from '../read-json.ts'

export interface GenerateDocumentOptions extends GlobalOptions {
  readonly user: string
  readonly input?: string
  readonly typeVersion?: string
  readonly regenerates?: string
  readonly json?: boolean
}

/** Makes a document with the providers of the configuration, and writes it to stdout. */
export async function generate(type: string, options: GenerateDocumentOptions): Promise<void> {
  const { user: userId, typeVersion: version, regenerates, json } = options
  const file = options.input ?? (regenerates === undefined ? '-' : undefined)
  const input = file === undefined ? undefined : await readJsonFile(file)
  const config = configOf(options)
  await withStele(options, async stele => {
    for (const known of config.documentTypes) await stele.documents.register(known)
    const generator = generatorOf(stele, config, createProviders(config, stele))
    const interrupt = new AbortController()
    const stop = (): void => interrupt.abort()
    process.once('SIGINT', stop)
    try {
      const request = { type, version, userId, input, regenerates, signal: interrupt.signal }
      const document = await generator.generateDocument(request)
      await writeJson(json === true ? documentObject(document) : JSON.parse(document.output ?? 'null'))
      say(`Made: ${document.id}`)
    } catch (error) {
      if (error instanceof SteleError && typeof error.details['document'] === 'string')
        say(`On record: ${error.details['document']}`)
      throw error
    } finally {
      process.off('SIGINT', stop)
      await generator.close()
    }
  })
}
