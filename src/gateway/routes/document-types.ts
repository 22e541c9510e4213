import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { DocumentTypeDefinition } from '../../documents/definition.ts'
import { typeObject } from '../../documents/document-object.ts'
import { SteleError } from '../../errors.ts'
import { readObject } from '../../model/json-body.ts'
import type { Stele } from '../../stele.ts'
import { inClientsTerms } from '../store-failure.ts'
import { listOf } from './paging.ts'
import { actorOf, keyOf, needs, userOf } from './request-parts.ts'

type Received = FastifyRequest<{ Params: { name: string }; Body: Buffer | undefined }>

const path = '/v1/document_types'

/** Members that the library spells otherwise. */
const libraryNames: Readonly<Record<string, string>> = {
  input_schema: 'inputSchema',
  output_schema: 'outputSchema',
  valid_from: 'validFrom',
  valid_until: 'validUntil',
}

/** What documents can be asked for; administrators register more. */
export async function documentTypeRoutes(
  app: FastifyInstance,
  { stele: { documents, database } }: { readonly stele: Pick<Stele, 'documents' | 'database'> },
): Promise<void> {
  const told = inClientsTerms(database)
  const wholeFor = (request: FastifyRequest) => ({ isWhole: keyOf(request).permissions.has('types:write') })

  app.get(path, needs('models:read'), async request => {
    const types = await told(documents.types())
    return listOf(
      types.map(type => typeObject(type, wholeFor(request))),
      false,
    )
  })

  app.get(`${path}/:name`, needs('models:read'), async (request: Received) => {
    const { name } = request.params
    const versions = (await told(documents.types())).filter(type => type.name === name)
    if (versions.length === 0) throw new SteleError('document_type_not_found', { type: name })
    return listOf(
      versions.map(type => typeObject(type, wholeFor(request))),
      false,
    )
  })

  app.post(path, needs('types:write'), async (request: Received, reply) => {
    // Nobody registers in the name of another.
    userOf(request)
    const { value } = readObject(request.body ?? '')
    const given = Object.fromEntries(
      Object.entries(value)
        .filter(([, member]) => member !== null)
        .map(([name, member]) => [libraryNames[name] ?? name, member]),
    )
    // Whatever it is, it is checked where it is registered.
    const type = await told(documents.register(given as unknown as DocumentTypeDefinition, actorOf(request)))
    return reply.code(201).send(typeObject(type, { isWhole: true }))
  })
}
