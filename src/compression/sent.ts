import { createHash } from 'node:crypto'
import { z } from 'zod'
import { SteleError } from '../errors.ts'
import type { SentRecord } from '../model/call.ts'
import { parseChatRequest } from '../model/chat-request.ts'
import { maybeJson } from '../model/maybe-json.ts'
import { upstreamBody } from '../model/upstream-body.ts'
import { type Edit, eachString, edited } from '../privacy/masking/json-strings.ts'
import { compressRequest } from './compress-request.ts'
import { currentVersion, versions } from './compress-text.ts'
import { type CompressionLevel, compressionLevels } from './levels.ts'

/** What cannot be told from the request alone. */
const facts = z.strictObject({
  /** Of the bytes, in hexadecimal. */
  sha256: z.string(),
  /** Whether usage was asked for at the end of a stream. */
  asksUsage: z.boolean(),
  /** What was masked before it was compressed: start, end, and what stands there, as JSON. */
  edits: z.array(z.tuple([z.int(), z.int(), z.string()])).optional(),
})

const label = /^([a-z]+)\/(\d{1,4})$/

/** How a request is put to its provider. */
export interface Sending {
  readonly level: CompressionLevel
  /** As the provider knows it. */
  readonly model: string
  readonly asksUsage: boolean
  /** False for a request in the words of Responses, which is sent as it is. */
  readonly isChat: boolean
  /** What the level does; today's when left out. */
  readonly version?: number | undefined
}

/** A request's text compressed, as today when no version is named. @throws SteleError content_unreadable for one that there is not */
export function compressed(
  text: string,
  level: CompressionLevel,
  version: number = currentVersion,
): Promise<string> {
  return compressedBy(text, level, version)
}

/**
 * What is to be recorded of a request that is sent compressed.
 * @param told its text as it would be sent uncompressed
 * @param recorded its text as it is recorded
 * @param mayKeep whether what `told` says and `recorded` does not may be kept
 */
export function sentRecord(
  texts: {
    readonly told: string
    readonly recorded: string
    readonly mayKeep: boolean
    readonly body: string
  },
  { level, model, asksUsage, isChat, version = currentVersion }: Sending,
): SentRecord {
  const { told, recorded, mayKeep, body } = texts
  const compression = `${level}/${version}`
  const edits = told === recorded ? [] : mayKeep ? differences(recorded, told) : undefined
  if (edits === undefined) return { compression, facts: undefined }
  const bytes = asSent(body, { model, asksUsage, isChat })
  const known: z.infer<typeof facts> = {
    sha256: digest(bytes),
    asksUsage,
    ...(edits.length === 0 ? {} : { edits: edits.map(({ start, end, text }) => [start, end, text]) }),
  }
  return { compression, facts: JSON.stringify(known) }
}

/**
 * The bytes that a provider got for a recorded request.
 * @param recorded the request's text as it is on record
 * @throws SteleError content_unreadable when they cannot be made again, which other bytes never stand in for
 */
export async function sentBytes(
  recorded: string,
  record: SentRecord,
  { model, isChat }: Pick<Sending, 'model' | 'isChat'>,
): Promise<Buffer> {
  const [, level, version] = label.exec(record.compression) ?? []
  if (record.facts === undefined) throw new SteleError('content_not_kept')
  const known = facts.safeParse(maybeJson(record.facts))
  if (!isLevel(level) || !known.success) throw unreadable('what is recorded of it is in an unknown form')
  const { sha256, asksUsage, edits = [] } = known.data
  const told = edited(
    recorded,
    edits.map(([start, end, text]) => ({ start, end, text })),
  )
  const body = await compressedBy(told, level, Number(version))
  const bytes = asSent(body, { model, asksUsage, isChat })
  if (digest(bytes) !== sha256) throw unreadable('what is made of the request today is not what was sent')
  return Buffer.from(bytes)
}

async function compressedBy(text: string, level: CompressionLevel, version: number): Promise<string> {
  const compress = versions[version]
  if (compress === undefined) throw unreadable(`version ${version} of compression is unknown`)
  return compressRequest(text, said => compress(said, level))
}

function asSent(body: string, { model, asksUsage, isChat }: Omit<Sending, 'level' | 'version'>): string {
  return isChat ? upstreamBody(parseChatRequest(body), model, asksUsage) : body
}

/** Where the strings of two JSON texts differ that have everything else in common; undefined when they have not. */
function differences(before: string, after: string): Edit[] | undefined {
  const olds = stringsOf(before)
  const news = stringsOf(after)
  if (olds.length !== news.length) return undefined
  const edits = olds.flatMap((old, index): Edit[] => {
    const text = after.slice(news[index]?.start, news[index]?.end)
    return before.slice(old.start, old.end) === text ? [] : [{ start: old.start, end: old.end, text }]
  })
  return edited(before, edits) === after ? edits : undefined
}

/** Every string of a JSON text, names too, in its order. */
function stringsOf(text: string): { readonly start: number; readonly end: number }[] {
  const strings: { start: number; end: number }[] = []
  const add = ({ start, end }: { start: number; end: number }): void => void strings.push({ start, end })
  eachString(text, add, add)
  return strings
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function isLevel(level: string | undefined): level is CompressionLevel {
  return (compressionLevels as readonly (string | undefined)[]).includes(level)
}

function unreadable(reason: string): SteleError {
  return new SteleError('content_unreadable', { reason })
}
