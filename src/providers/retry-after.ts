/**
 * How long a provider asks to be left alone, in milliseconds; undefined when it does not say. `retry-after-ms` (as
 * OpenAI's services send it) is the more exact one and wins over `retry-after`, which is in seconds or an HTTP date
 * (RFC 9110, 10.2.3). A date that is over means now.
 * @param now milliseconds since 1970
 */
export function retryAfter(
  headers: Readonly<Record<string, string>>,
  now: number = Date.now(),
): number | undefined {
  const milliseconds = number(headers['retry-after-ms'])
  if (milliseconds !== undefined) return milliseconds
  const given = headers['retry-after']
  const seconds = number(given)
  if (seconds !== undefined) return seconds * 1000
  const date = given === undefined ? Number.NaN : Date.parse(given)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** A number of whatever there is, written without a sign: `Date.parse` would take `-5` for a month. */
function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined
}
