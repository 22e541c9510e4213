import { documentObject, generationTime } from '../../documents/document-object.ts'
import type { Stele } from '../../stele.ts'
import type { StoredDocument } from '../../store/documents.ts'
import { Failure } from '../failure.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { write, writeJson } from '../output.ts'
import { printableText } from '../printable.ts'
import { formatFacts } from '../table.ts'
import { costText, countText, none, notKept, timeText } from '../values.ts'

export interface ShowDocumentOptions extends GlobalOptions {
  readonly user?: string
  readonly json?: boolean
}

/** Shows a document. */
export async function showDocument(id: string, options: ShowDocumentOptions): Promise<void> {
  await withStele(options, async stele => {
    const document = await requireDocument(stele, id, options.user)
    await noteReading(stele, { userId: document.userId, target: id, command: 'documents show' }, options)
    await (options.json === true ? writeJson(documentObject(document)) : write(textOf(document)))
  })
}

/** @throws Failure when there is none */
export async function requireDocument(
  { documents }: Pick<Stele, 'documents'>,
  id: string,
  user: string | undefined,
): Promise<StoredDocument> {
  const document = await (user === undefined ? documents.find(id) : documents.get(user, id))
  if (document === undefined)
    throw new Failure(`There is no document '${id}'${user === undefined ? '' : ` of '${user}'`}.`)
  return document
}

function textOf(document: StoredDocument): string {
  const { errorCode, errorMessage, input, output, status } = document
  const facts: [string, string][] = [
    ['document', document.id],
    ['user', document.userId],
    ['type', `${document.type} ${document.version}`],
    ['number', String(document.number)],
    ['made again from', document.previousId ?? none],
    ['status', status],
    ...(errorCode === undefined
      ? []
      : [['error', `${errorCode}: ${errorMessage ?? ''}`] as [string, string]]),
    ['asked for with', document.apiKeyId ?? 'library'],
    ['model', document.model ?? none],
    ['calls', document.callIds.join(', ')],
    [
      'tokens',
      `${countText(document.totalTokens)} (${countText(document.inputTokens)} in, ${countText(document.outputTokens)} out)`,
    ],
    ['cost', costText(document.costNanousd)],
    ['time', generationTime(document) === undefined ? none : `${generationTime(document)} ms`],
    ['created', timeText(document.createdAt)],
    ['ended', timeText(document.endedAt)],
  ]
  const said = status === 'completed' || output !== undefined ? [['output', output] as const] : []
  return [
    `${formatFacts(facts)}\n`,
    ...[['input', input] as const, ...said].map(
      ([name, text]) => `── ${name} ──\n${text === undefined ? notKept : indented(text)}\n`,
    ),
  ].join('\n')
}

function indented(text: string): string {
  return printableText(JSON.stringify(JSON.parse(text), null, 2))
}
