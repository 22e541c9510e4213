import { SteleError } from '../../errors.ts'
import { chatGptItems, isChatGpt } from './chatgpt.ts'
import type { FormatName } from './formats.ts'
import { entriesOf, type JsonFile, openJsonFile, smallJson } from './json-file.ts'
import { isSession, sessionItems } from './sessions-json.ts'
import { Origin, type Source, type SourceItem, type SourceOptions } from './source.ts'
import { userLine } from './user.ts'
import { wordOf } from './values.ts'

/** The files of ChatGPT's archive that hold conversations. */
const conversationsPattern = /(^|\/)conversations(-\d+)?\.json$/

/**
 * Opens a file of JSON, or ChatGPT's archive of such.
 * @throws SteleError source_unreadable, source_unrecognized, source_invalid, usage
 */
export async function openJsonSource(
  path: string,
  as: FormatName | 'auto',
  options: SourceOptions,
  note: (what: string, count: number) => void,
): Promise<Source> {
  const file = await openJsonFile(path)
  try {
    const texts =
      file.texts.length === 1 ? file.texts : file.texts.filter(({ name }) => conversationsPattern.test(name))
    if (texts.length === 0)
      throw new SteleError('source_unrecognized', {
        source: path,
        format: as,
        reason: 'it holds no conversations.json',
      })
    const format = await formatOf(path, as, { ...file, texts })
    const origin = new Origin(format, options, note)
    const isChat = format === 'chatgpt'
    const user = isChat ? await userOf(file) : undefined
    const owner = options.owner ?? user?.id
    if (isChat && owner === undefined)
      throw new SteleError('usage', {
        reason: `${path} does not say whose it is; name the user with --user.`,
      })
    let before = 0
    let read = 0
    return {
      format,
      display: path,
      size: async () => ({ total: texts.reduce((sum, { size }) => sum + size, 0), unit: 'bytes' }),
      bytesRead: () => before + read,
      async *items() {
        if (user !== undefined && user.id === owner)
          yield {
            table: 'user',
            records: [
              userLine(origin, user.id, { id: user.id, email: user.email, created_at: '1970-01-01' }),
            ],
          }
        for (const text of texts) {
          const onBytes = (bytes: number): void => {
            read = bytes
          }
          for await (const entry of entriesOf(text, onBytes))
            yield* isChat ? chatGptItems(origin, owner ?? '', entry.value) : sessionItems(origin, entry)
          before += text.size
          read = 0
        }
        yield* others(file, texts.length + (user !== undefined && user.id === owner ? 1 : 0))
      },
      close: async () => file.close(),
    }
  } catch (error) {
    file.close()
    throw error
  }
}

/** Files of an archive beside those that were read. */
function* others({ files }: JsonFile, read: number): Generator<SourceItem> {
  if (files > read)
    yield {
      table: 'other files',
      rows: files - read,
      records: [],
      skipped: 'only conversations are imported',
    }
}

/**
 * What the first entry says that it is.
 * @throws SteleError source_unrecognized when that is nothing that is known, or something else than was named
 */
async function formatOf(path: string, as: FormatName | 'auto', { texts }: JsonFile): Promise<FormatName> {
  const unrecognized = (reason: string): SteleError =>
    new SteleError('source_unrecognized', { source: path, format: as, reason })
  if (texts.every(({ size }) => size === 0)) throw unrecognized('it is empty')
  for (const text of texts) {
    const entries = entriesOf(text)
    const { value: first } = await entries.next()
    await entries.return(undefined)
    if (first === undefined) continue
    const found = isChatGpt(first.value) ? 'chatgpt' : isSession(first.value) ? 'sessions-json' : undefined
    // A first entry that is damaged does not make a file that was named something else.
    if (as !== 'auto' && (found === undefined || found === as)) return as
    if (as !== 'auto') throw unrecognized(`its first entry is one of ${found}`)
    if (found !== undefined) return found
    throw unrecognized('its first entry has neither a mapping (ChatGPT) nor messages (sessions-json)')
  }
  return as === 'auto' ? 'sessions-json' : as
}

/** Whose archive it is, as it says itself. */
async function userOf({
  texts,
}: JsonFile): Promise<{ readonly id: string; readonly email: string | null } | undefined> {
  const text = texts.find(({ name }) => /(^|\/)user\.json$/.test(name))
  const value = text && (await smallJson(text))
  if (value === null || typeof value !== 'object' || !('id' in value)) return undefined
  const id = wordOf(String(value.id))
  const email = 'email' in value && typeof value.email === 'string' ? value.email : null
  return id === null ? undefined : { id, email }
}
