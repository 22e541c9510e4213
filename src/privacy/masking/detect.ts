import type { CountryCode } from 'libphonenumber-js'
import { findEmails, findIpv6, findMacAddresses } from './detectors/addresses.ts'
import { findNumbers } from './detectors/numbers.ts'
import { findCredentialUrls, findKeys, findPrivateKeys, findTokens } from './detectors/secrets.ts'
import { findBirthDates, findPassports } from './detectors/told.ts'
import { builtInKinds, type Finding, type Report } from './finding.ts'
import type { SafePattern } from './safe-pattern.ts'

export interface DetectorOptions {
  /** Where telephone numbers are dialled that name no country. */
  readonly phoneRegion: CountryCode
  /** What else is to be found; it goes before what Stele finds. */
  readonly patterns: readonly SafePattern[]
}

/** Of two that overlap the one named earlier counts: a mailbox in an address with a password is a part of that. */
const rank: ReadonlyMap<string, number> = new Map(builtInKinds.map((kind, index) => [kind, index]))

/** Whether a text holds anything that the detectors look for at all. */
const telling = /[@\d]|eyJ|:\/\/|-----|[kg][-_][A-Za-z0-9]/

/** The longest piece of a text that is looked at in one go, in UTF-16 code units. */
export const pieceLength = 65_536

/** What a text tells that is to be masked: in order, none overlapping another. */
export function findEntities(text: string, { phoneRegion, patterns }: DetectorOptions): Finding[] {
  const found: (Finding & { readonly rank: number })[] = []
  const isTelling = telling.test(text)
  if (!isTelling && patterns.length === 0) return found
  const report: Report = (kind, start, end) => {
    if (end > start) found.push({ kind, start, end, rank: rank.get(kind) ?? 0 })
  }
  for (const { kind, pattern } of patterns)
    for (const { index, 0: match } of text.matchAll(pattern))
      if (match !== '') found.push({ kind, start: index, end: index + match.length, rank: -1 })
  if (isTelling) {
    findPrivateKeys(text, report)
    findTokens(text, report)
    findKeys(text, report)
    findCredentialUrls(text, report)
    findEmails(text, report)
    findMacAddresses(text, report)
    findIpv6(text, report)
    findBirthDates(text, report)
    findPassports(text, report)
    findNumbers(text, report, { region: phoneRegion })
  }
  return found.length === 0 ? found : apart(found).map(finding => pastEscape(text, finding))
}

type Ranked = Finding & { readonly rank: number }

/**
 * The same stretches of the text, none overlapping another, in order of their places. Where two overlap the one of lower rank
 * keeps what the other leaves of it: nothing of it is let out.
 */
export function apart(found: readonly Ranked[]): Finding[] {
  if (found.length < 2) return [...found]
  const ordered = found.toSorted((a, b) => a.start - b.start || a.rank - b.rank || b.end - a.end)
  const kept: Finding[] = []
  for (let at = 0; at < ordered.length; ) {
    const cluster: Ranked[] = []
    let end = 0
    for (let next = ordered[at]; next !== undefined; next = ordered[++at]) {
      if (cluster.length > 0 && next.start >= end) break
      cluster.push(next)
      end = Math.max(end, next.end)
    }
    kept.push(...(cluster.length === 1 ? cluster : dividedUp(cluster)))
  }
  return kept
}

function dividedUp(cluster: readonly Ranked[]): Finding[] {
  const taken: Finding[] = []
  for (const finding of cluster.toSorted((a, b) => a.rank - b.rank || a.start - b.start || b.end - a.end)) {
    let parts: Finding[] = [finding]
    for (const { start, end } of taken)
      parts = parts.flatMap(part => [
        ...(part.start < Math.min(start, part.end) ? [{ ...part, end: Math.min(start, part.end) }] : []),
        ...(part.end > Math.max(end, part.start) ? [{ ...part, start: Math.max(end, part.start) }] : []),
      ])
    taken.push(...parts)
  }
  return taken.sort((a, b) => a.start - b.start)
}

/** In code a letter right after a backslash belongs to an escape, not to what follows. */
function pastEscape(text: string, { kind, start, end }: Finding): Finding {
  let slashes = 0
  while (text.charAt(start - 1 - slashes) === '\\') slashes++
  const isEscape = slashes % 2 === 1 && end - start > 1 && /[nrtbf]/.test(text.charAt(start))
  return { kind, start: isEscape ? start + 1 : start, end }
}
