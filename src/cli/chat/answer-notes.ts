import type { Answer } from '../../chat/backend.ts'
import { printableLine } from '../printable.ts'
import type { Line } from './styled.ts'

/**
 * What there is to say about a reply beside its words, in a line of its own.
 * @param heading the model's name as it stands above the reply, if it does
 */
export function answerNotes(
  { status, isCached, model, usage, latencyMs, error, text }: Answer,
  heading?: string,
): Line[] {
  const { inputTokens, outputTokens } = usage
  const tokens =
    inputTokens === undefined || outputTokens === undefined ? [] : [`${inputTokens} → ${outputTokens} tokens`]
  const name = model === heading || model === '' ? [] : [printableLine(model)]
  const facts = [...name, ...(isCached === true ? ['from the cache'] : tokens), secondsText(latencyMs)]
  const line: Line = [{ text: facts.join(' · '), style: { dim: true } }]
  if (status === 'completed') return [line]
  if (status === 'aborted') {
    const kept = text === '' ? 'stopped before it said anything' : 'stopped; what came is kept'
    return [[{ text: `${kept} · `, style: { color: 'yellow' } }, ...line]]
  }
  return [[{ text: printableLine(error?.message ?? 'It failed.'), style: { color: 'red' } }]]
}

export function secondsText(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`
}

/** How long ago something was, roughly. */
export function ageText(milliseconds: number): string {
  const minutes = Math.floor(milliseconds / 60_000)
  if (minutes < 1) return 'just now'
  if (minutes < 60) return `${minutes} min ago`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ago`
  return `${Math.floor(hours / 24)} days ago`
}
