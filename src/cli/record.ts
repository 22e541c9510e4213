/**
 * The JSON form of what the store returns: snake_case names as in the tables, times (names that end in `_at`) as
 * ISO 8601 in UTC, null for what is not there, so that every record of a kind has the same members.
 */
export function toRecord(value: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([name, each]: [string, unknown]) => {
      const snake = name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)
      const isTime = snake.endsWith('_at') && typeof each === 'number'
      return [snake, isTime ? new Date(each).toISOString() : (each ?? null)]
    }),
  )
}
