import { blocksOf, type LineCheck } from './blocks.ts'
import { piecesOf } from './inline.ts'
import type { CompressionLevel } from './levels.ts'
import { dropArticles, dropFillers, isEnglish, type Rewrite, shortenPhrases } from './rewrite.ts'

const rewrites: Readonly<Record<Exclude<CompressionLevel, 'lossless'>, readonly Rewrite[]>> = {
  low: [shortenPhrases],
  medium: [shortenPhrases, dropFillers],
  high: [shortenPhrases, dropFillers, dropArticles],
}

const lineEnd = /[ \t]*(\r?\n)?$/
const lead = /^[ \t]*(?:(?:[-*+>]|#{1,6}|\d{1,9}[.)])[ \t]+)*/

/** A text with fewer words and spaces; never an empty one for one that says something. */
export function compressLossily(text: string, level: keyof typeof rewrites, isCode?: LineCheck): string {
  const blocks = blocksOf(text, isCode)
  const around = isEnglish(
    blocks
      .filter(({ isProse }) => isProse)
      .map(block => block.text)
      .join(' ')
      .slice(0, 4_000),
    false,
  )
  const told = blocks.map(block =>
    block.isProse ? proseOf(block.text, rewrites[level], around) : block.text,
  )
  const compressed = told.join('')
  return compressed.trim() === '' ? text : compressed
}

function proseOf(text: string, steps: readonly Rewrite[], around: boolean): string {
  const lines = (text.match(/[^\n]*\n|[^\n]+$/g) ?? []).map(line => lineOf(line, steps, around))
  return lines.join('').replace(/((?:\r?\n){2})(?:\r?\n)+/g, '$1')
}

function lineOf(line: string, steps: readonly Rewrite[], around: boolean): string {
  const [found, end = ''] = lineEnd.exec(line) ?? ['']
  const said = line.slice(0, line.length - found.length)
  const [head = ''] = lead.exec(said) ?? []
  const words = said.slice(head.length)
  if (words === '') return head.trimEnd() + end
  const pieces = piecesOf(words)
  const prose = pieces.map(piece => (piece.isProse ? piece.text : ' ')).join('')
  const rewritten = isEnglish(prose, around) ? steps : []
  const told = pieces.map(({ text, isProse }, index) => {
    if (!isProse) return text
    const even = text.replace(/[ \t]{2,}/g, ' ')
    return rewritten.reduce((one, rewrite) => rewrite(one, index === 0), even)
  })
  return head + told.join('') + end
}
