import { SteleError } from '../../errors.ts'
import type { SearchedRole } from '../../model/searched-text.ts'
import type { Snippet } from '../../model/snippet.ts'
import { indexEverything } from '../../recorder/search.ts'
import type { SearchHit } from '../../store/search.ts'
import { type GlobalOptions, withStele } from '../open-store.ts'
import { noteReading } from '../operator.ts'
import { hasColors, say, write, writeJson } from '../output.ts'
import { printableLine } from '../printable.ts'
import { withProgress } from '../progress.ts'
import { toRecord } from '../record.ts'
import { timeText } from '../values.ts'

export interface SearchCommandOptions extends GlobalOptions {
  readonly user?: string
  readonly conversation?: string
  readonly role?: string
  readonly from?: number
  readonly to?: number
  readonly limit: number
  readonly cursor?: string
  readonly reindex?: boolean
  readonly json?: boolean
}

/** Searches a user's messages, or indexes what is not indexed yet. */
export async function search(query: string, options: SearchCommandOptions): Promise<void> {
  const { user, conversation, role, from, to, limit, cursor, json } = options
  if (options.reindex === true) return reindex(query, options)
  if (user === undefined) throw new SteleError('usage', { reason: 'Whose messages? Give --user.' })
  const page = await withStele(options, async stele => {
    await noteReading(stele, { userId: user, command: 'search' }, options)
    return stele.search({
      userId: user,
      query,
      conversationId: conversation,
      // What is no role is refused by the search itself.
      role: role as SearchedRole | undefined,
      from,
      to,
      limit,
      cursor,
    })
  })
  if (json === true) {
    const { hits, isComplete } = page
    return writeJson({ hits: hits.map(toRecord), cursor: page.cursor ?? null, is_complete: isComplete })
  }
  const colors = hasColors()
  await write(page.hits.map(hit => textOf(hit, colors)).join('\n'))
  if (!page.isComplete) say('Some messages are not indexed yet; search again in a moment.')
  if (page.cursor !== undefined) say(`There may be more: --cursor ${page.cursor}`)
  else if (page.hits.length === 0) say('Nothing found.')
}

async function reindex(query: string, options: SearchCommandOptions): Promise<void> {
  if (query !== '') throw new SteleError('usage', { reason: '--reindex takes no query.' })
  await withProgress('messages', progress =>
    withStele(options, ({ database, recorder }) =>
      indexEverything(database, recorder, (done, total) => progress.update(done, total)),
    ),
  )
  say('Every message is indexed.')
}

function textOf(
  { conversationId, seq, role, createdAt, title, snippet }: SearchHit,
  colors: boolean,
): string {
  const name = title === undefined ? '' : ` · ${title}`
  const heading = printableLine(`── ${conversationId} · ${seq} ${role} · ${timeText(createdAt)}${name} ──`)
  return `${heading}\n${marked(snippet, colors)}\n`
}

/** What was found stands out where the terminal can show it. Pieces are made safe to show before marks join them. */
function marked({ text, ranges }: Snippet, colors: boolean): string {
  if (!colors) return printableLine(text)
  let line = ''
  let at = 0
  for (const [start, end] of ranges) {
    line += `${printableLine(text.slice(at, start))}\u001b[1;33m${printableLine(text.slice(start, end))}\u001b[0m`
    at = end
  }
  return line + printableLine(text.slice(at))
}
