import { expandRepeats } from '../../src/compression/lossless.ts'

/** What compression may break, each told by itself: whether a text still has it after. */
export const checks: Readonly<Record<string, (before: string, after: string) => boolean>> = {
  code: sameOf(/```[\s\S]*?```|`[^`\n]+`/g),
  numbers: sameOf(/\d+(?:[.,:/]\d+)*%?/g),
  negations: sameOf(/\b(?:not|no|never|none|nothing|nobody|cannot|without|neither|nor)\b|n['’]t\b/gi),
  names: keptOf(/(?<=[\p{Ll},;] )\p{Lu}[\p{L}'’-]+/gu),
  urls: sameOf(/\b(?:https?:\/\/|www\.)\S+/g),
  quotes: sameOf(/"[^"\n]+"|“[^”\n]+”/g),
  lines: (before, after) => linesOf(before) === linesOf(after),
  words: sameOf(/[\p{L}\d]+/gu),
  text: (before, after) => before === after,
  roundTrip: (before, after) => expandRepeats(after) === before,
}

/** Whether the same things are found in the same order, whatever their case. A passage that has a name counts where it is used. */
function sameOf(pattern: RegExp): (before: string, after: string) => boolean {
  const found = (text: string): string =>
    JSON.stringify((text.match(pattern) ?? []).map(one => one.toLowerCase()))
  return (before, after) => found(before) === found(expandRepeats(after))
}

/** Whether everything is still found, as often; the beginning of a sentence may look like a name. */
function keptOf(pattern: RegExp): (before: string, after: string) => boolean {
  const found = (text: string): Map<string, unknown[]> => Map.groupBy(text.match(pattern) ?? [], one => one)
  return (before, after) => {
    const there = found(expandRepeats(after))
    return [...found(before)].every(([one, all]) => (there.get(one)?.length ?? 0) >= all.length)
  }
}

/** How lines that say something begin. */
function linesOf(text: string): string {
  return expandRepeats(text)
    .split(/\r?\n/)
    .filter(line => line.trim() !== '')
    .map(line => /^\s*(?:[-*+>]|#+|\d+[.)])?/.exec(line)?.[0] ?? '')
    .join('\n')
}
