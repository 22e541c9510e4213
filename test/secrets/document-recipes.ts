import type { DocumentTypeDefinition } from '../../src/documents/definition.ts'
import { fine, get, type Recipe, repeated } from './recipe.ts'
import { type Speaker, well } from './speaker.ts'

/** Recipes of documents: what they are made of, what comes of it, and their types. */

const path = '/v1/documents'

const inputSchema = {
  type: 'object',
  properties: { text: { type: 'string' }, map: { type: 'object', additionalProperties: { type: 'string' } } },
  required: ['text'],
  additionalProperties: false,
}

function typeOf(
  name: string,
  model: string,
  more: Partial<DocumentTypeDefinition> = {},
): DocumentTypeDefinition {
  const prompt = { system: 'You write notes.', user: '{{.}}' }
  return { name, version: '1', model, prompt, inputSchema, outputSchema: { type: 'object' }, ...more }
}

/** The manners of the models behind types. */
const failing = ['refuses', 'fails', 'mumbles', 'stumbles'] as const

/** The types that the gateway is configured with: each asks a model of another manner. */
export const documentTypes: readonly DocumentTypeDefinition[] = [
  typeOf('echoed', 'echo/echo'),
  typeOf('strange', 'echo/echo', {
    outputSchema: { type: 'object', maxProperties: 0, additionalProperties: false },
  }),
  ...[well, ...failing].map(manner => typeOf(manner, manner)),
]

const input = (s: Speaker, where: string) => ({
  text: s.text(where),
  map: { [s.text(`${where}, as a name`)]: s.long(`${where}, at length`) },
})

export const documentRecipes: Readonly<Record<string, Recipe>> = {
  'GET /v1/document_types': get(() => '/v1/document_types'),
  'GET /v1/document_types/:name': async s => {
    await fine(s.send('GET', `/v1/document_types/${s.asked('a type')}`), 404)
  },
  'POST /v1/document_types': async (s, { adminKey }) => {
    const label = s.label('a version of a type')
    const type = typeOf('labelled', 'echo', { version: label, description: s.label('what a type is for') })
    const { inputSchema: input_schema, outputSchema: output_schema, ...rest } = type
    const headers = { authorization: `Bearer ${adminKey}` }
    const body = { ...rest, input_schema, output_schema }
    await fine(s.send('POST', '/v1/document_types', { body, headers }), 201)
    await fine(s.send('POST', '/v1/document_types', { body: { ...body, model: 'm' }, headers }), 409)
    const bad = { ...body, version: s.text('a version that is none') }
    await fine(s.send('POST', '/v1/document_types', { body: bad, headers }), 400)
    await fine(s.send('POST', '/v1/document_types', { body: { note: s.text('a type of a member') } }), 403)
  },
  'POST /v1/documents/:document': async (s, { document }) => {
    const say = (where: string) => ({ input: input(s, where), note: s.text(`a note on ${where}`) })
    await fine(s.send('POST', `${path}/echoed`, { body: say('a document') }))
    await fine(
      s.send('POST', `${path}/echoed`, { body: { ...say('a later document'), regenerates: document } }),
    )
    await fine(s.send('POST', `${path}/strange`, { body: say('a document that does not fit') }), 502)
    await fine(s.send('POST', `${path}/${well}`, { body: say('a document of words') }), 502)
    for (const manner of failing)
      await fine(
        s.send('POST', `${path}/${manner}`, { body: say(`a document that ${manner}`) }),
        400,
        500,
        502,
      )
    const masked = { 'x-mask-pii-in-logs': 'true', 'x-mask-pii-before-llm': 'true' }
    await fine(s.send('POST', `${path}/echoed`, { body: say('a masked document'), headers: masked }))
    const wrong = { input: { [s.text('a member that there is not')]: s.text('its value') } }
    await fine(s.send('POST', `${path}/echoed`, { body: wrong }), 400)
    await fine(s.send('POST', `${path}/${s.asked('a type')}`, { body: say('no document') }), 404)
    const lost = {
      ...say('a lost document'),
      regenerates: s.asked('a document'),
      version: s.asked('a version'),
    }
    await fine(s.send('POST', `${path}/echoed`, { body: lost }), 404)
    await repeated(s, `${path}/echoed`, say)
  },
  'GET /v1/documents': async s => {
    for (const name of ['after', 'before', 'type', 'version', 'status', 'from', 'order', 'user'])
      await fine(s.send('GET', `${path}?${name}=${s.asked(`${name} of documents`)}`), 400, 403)
    await fine(s.send('GET', path))
  },
  'GET /v1/documents/:document': get(({ document }) => `${path}/${document}`),
  'GET /v1/documents/:document/history': get(({ document }) => `${path}/${document}/history`),
  'DELETE /v1/documents/:document': async s => {
    const { id } = await s.ask('POST', `${path}/echoed`, { body: { input: input(s, 'what is deleted') } })
    await fine(s.send('DELETE', `${path}/${String(id)}`))
  },
}
