/**
 * An ISO 8601 date, or a date with a time, in milliseconds since 1970; undefined when it is none. UTC unless it says
 * otherwise.
 */
export function isoTime(text: string): number | undefined {
  const [, date, time, zone] =
    /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?)(Z|[+-]\d{2}:\d{2})?)?$/.exec(text) ??
    []
  if (date === undefined) return undefined
  const midnight = new Date(`${date}T00:00Z`)
  // Date takes the 31st of February for the 3rd of March.
  if (Number.isNaN(midnight.getTime()) || !midnight.toISOString().startsWith(date)) return undefined
  const parsed = time === undefined ? midnight.getTime() : Date.parse(`${date}T${time}${zone ?? 'Z'}`)
  return Number.isNaN(parsed) ? undefined : parsed
}
