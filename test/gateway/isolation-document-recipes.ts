import type { DocumentTypeDefinition } from '../../src/documents/definition.ts'
import type { Recipe } from './isolation-recipes.ts'

const denied = [403, 'permission_denied'] as const
const noDocument = [404, 'document_not_found'] as const
const fine = [200] as const

const path = '/v1/documents'
const asked = { input: { word: 'Hello' } }

/** The echo answers with the prompt, which so is the document. */
export const noteType: DocumentTypeDefinition = {
  name: 'note',
  version: '1',
  model: 'echo',
  prompt: { user: '{{.}}' },
  inputSchema: { type: 'object', properties: { word: { type: 'string' } }, required: ['word'] },
  outputSchema: { type: 'object' },
}

/** How somebody may try to reach what was made for Ada. */
export const documentRecipes: Readonly<Record<string, Recipe>> = {
  'GET /v1/document_types': {
    isOfNobody: true,
    attempts: () => [{ path: '/v1/document_types', own: fine }],
  },
  'GET /v1/document_types/:name': {
    isOfNobody: true,
    attempts: () => [{ path: '/v1/document_types/note', own: fine }],
  },
  'POST /v1/document_types': {
    ownerGets: 403,
    attempts: () => [{ path: '/v1/document_types', body: noteType, own: denied }],
  },
  'POST /v1/documents/:document': {
    attempts: ({ document }) => [
      { path: `${path}/note`, body: asked, own: fine },
      { path: `${path}/note`, body: { ...asked, user: 'ada' }, own: denied, isOutranked: true },
      { path: `${path}/note`, body: { regenerates: document }, own: noDocument },
      { path: `${path}/note`, body: { ...asked, regenerates: document }, own: noDocument },
      {
        path: `${path}/note`,
        body: asked,
        headers: { 'idempotency-key': 'key-of-ada documents' },
        own: fine,
      },
    ],
  },
  'GET /v1/documents': {
    shows: true,
    attempts: ({ document }) => [
      { path, own: fine },
      { path: `${path}?user=ada`, own: denied, isOutranked: true },
      { path: `${path}?order=asc&before=${document}`, own: fine },
      { path: `${path}?after=${document}&type=note`, own: fine },
    ],
  },
  'GET /v1/documents/:document': {
    shows: true,
    attempts: ({ document }) => [{ path: `${path}/${document}`, own: noDocument }],
  },
  'GET /v1/documents/:document/history': {
    shows: true,
    attempts: ({ document }) => [{ path: `${path}/${document}/history`, own: noDocument }],
  },
  'DELETE /v1/documents/:document': {
    attempts: ({ document }) => [{ path: `${path}/${document}`, own: noDocument }],
  },
}
