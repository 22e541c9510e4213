/** Days in UTC (YYYY-MM-DD), the last one included. */
export interface Days {
  readonly since?: string
  readonly until?: string
}

const day = 86_400_000

/** From when, and until before when, in milliseconds since 1970. */
export function timesOf({ since, until }: Days): { since: number | undefined; until: number | undefined } {
  return {
    since: since === undefined ? undefined : Date.parse(since),
    until: until === undefined ? undefined : Date.parse(until) + day,
  }
}
