import { Pool } from 'undici'
import { z } from 'zod'
import type { MaskingConfig } from '../../config-masking.ts'
import { reasonOf, SteleError } from '../../errors.ts'
import type { Finding } from '../../privacy/masking/finding.ts'
import type { Analyzer } from '../../privacy/masking/masker.ts'
import { otherKinds } from '../../privacy/masking/placeholders.ts'

const answer = z.array(
  z.object({ entity_type: z.string(), start: z.int().min(0), end: z.int().min(0), score: z.number() }),
)

/** Texts that are looked at at the same time, for all requests. */
const connections = 8
/** Bytes of an answer; a text's findings are far less. */
const longestAnswer = 4 * 1024 * 1024

/**
 * Presidio's analyzer (https://microsoft.github.io/presidio/api-docs/). Whatever keeps it from answering is raised: what was
 * to be masked must not go out as if nothing had been found in it.
 */
export function presidio(config: NonNullable<MaskingConfig['presidio']>): Analyzer {
  const { origin, pathname } = new URL(config.url)
  const milliseconds = config.timeout * 1000
  const pool = new Pool(origin, {
    connections,
    connect: { timeout: milliseconds },
    headersTimeout: milliseconds,
    bodyTimeout: milliseconds,
    maxResponseSize: longestAnswer,
  })
  const path = `${pathname.replace(/\/+$/, '')}/analyze`

  const analyze = async (text: string): Promise<Finding[]> => {
    const { language, entities, minScore } = config
    const body = JSON.stringify({ text, language, entities, score_threshold: minScore })
    const response = await pool.request({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(milliseconds),
    })
    if (response.statusCode !== 200) {
      await response.body.dump()
      throw new Error(`it answers with status ${response.statusCode}`)
    }
    const found = answer.safeParse(await response.body.json())
    if (!found.success) throw new Error('its answer is no list of findings')
    const unit = unitsOf(text)
    return found.data
      .filter(({ score, start, end }) => score >= minScore && end > start)
      .map(({ entity_type: type, start, end }) => ({
        kind: kindOf(type),
        start: unit(start),
        end: unit(end),
      }))
  }

  /** A text's time begins when it is sent, so one request has no more of them under way than there are connections. */
  const analyzeAll = async (texts: readonly string[]): Promise<Finding[][]> => {
    const found: Finding[][] = []
    const waiting = texts.entries()
    const work = async (): Promise<void> => {
      for (const [index, text] of waiting) found[index] = await analyze(text)
    }
    await Promise.all(Array.from({ length: Math.min(connections, texts.length) }, work))
    return found
  }

  return texts =>
    analyzeAll(texts).catch(cause => {
      throw new SteleError('masking_unavailable', { reason: wordsOf(cause) }, { cause })
    })
}

/** Presidio counts characters, JavaScript code units. */
function unitsOf(text: string): (position: number) => number {
  const points = [...text]
  if (points.length === text.length) return position => Math.min(position, text.length)
  const units = [0]
  for (const point of points) units.push((units.at(-1) ?? 0) + point.length)
  return position => units[Math.min(position, points.length)] ?? text.length
}

function kindOf(type: string): string {
  return (otherKinds as readonly string[]).includes(type) ? type : 'ENTITY'
}

/** Never the text that was sent, which an error of a parser may quote. */
function wordsOf(cause: unknown): string {
  if ((cause as { name?: string } | null)?.name === 'TimeoutError')
    return 'the analyzer does not answer in time'
  if (cause instanceof SyntaxError) return "the analyzer's answer is not JSON"
  const code = (cause as { code?: string } | null)?.code
  return `the analyzer: ${code ?? reasonOf(cause)}`
}
