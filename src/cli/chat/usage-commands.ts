import type { UsageSums } from '../../chat/backend.ts'
import { type DayDimension, type DayUsage, dayDimensions } from '../../chat/day-usage.ts'
import { SteleError } from '../../errors.ts'
import { type Column, formatTable } from '../table.ts'
import { costText, none } from '../values.ts'
import type { ChatSession } from './chat-session.ts'
import type { ChatCommand } from './commands.ts'
import type { Line } from './styled.ts'

/** Commands about what calls took and cost. */
export const usageCommands: readonly ChatCommand[] = [
  { name: 'stats', help: 'what this conversation came to', run: showStats },
  {
    name: 'dbstats',
    takes: '[BY]',
    help: `what all your calls of today (UTC) came to, by ${dayDimensions.join(', ')}`,
    run: showDayStats,
  },
]

async function showStats(session: ChatSession): Promise<void> {
  const { chat, screen } = session
  const { sessionId } = chat.thread
  await screen.show([
    ...(sessionId === undefined ? [] : [fact('conversation', sessionId)]),
    fact(
      'messages',
      `${chat.transcript.length}, of which ${chat.contextLength} are sent with the next question`,
    ),
    ...usageFacts(await session.wait(chat.stats())),
    [],
  ])
}

async function showDayStats(session: ChatSession, rest: string): Promise<void> {
  const { chat, screen } = session
  const by = rest === '' ? 'model' : dayDimensions.find(name => name === rest.replaceAll(/[ -]/g, '_'))
  if (by === undefined)
    throw new SteleError('usage', { reason: `Say by what: /dbstats ${dayDimensions.join(', ')}` })
  const usage = await session.wait(chat.backend.usageToday(by))
  await screen.show([...usageFacts(usage.total), ...dayTable(usage, by), []])
}

type Row = DayUsage['rows'][number]

function dayTable({ rows, isWhole }: DayUsage, by: DayDimension): Line[] {
  if (rows.length === 0) return []
  const number = (title: string, text: (row: Row) => string): Column<Row> => ({ title, text, align: 'right' })
  const columns: Column<Row>[] = [
    { title: by.toUpperCase().replace('_', ' '), text: ({ name }) => name || none },
    number('CALLS', ({ calls }) => String(calls)),
    number('FAILED', ({ errors }) => String(errors)),
    number('IN', ({ inputTokens }) => String(inputTokens)),
    number('OUT', ({ outputTokens }) => String(outputTokens)),
    number('COST', ({ calls, costNanousd, unpricedCalls }) =>
      unpricedCalls === calls ? none : costText(costNanousd),
    ),
    number('UNPRICED', ({ unpricedCalls }) => String(unpricedCalls)),
  ]
  const lines = formatTable(columns, rows).trimEnd().split('\n')
  return [
    [],
    ...lines.map((text, index): Line => [{ text, ...(index === 0 ? { style: { dim: true } } : {}) }]),
    ...(isWhole ? [] : [[{ text: 'and more: stele usage', style: { dim: true } }]]),
  ]
}

function usageFacts({
  calls,
  errors,
  inputTokens,
  outputTokens,
  costNanousd,
  unpricedCalls,
}: UsageSums): Line[] {
  const cost = calls > 0 && unpricedCalls === calls ? 'unknown' : costText(costNanousd)
  const unpriced =
    unpricedCalls > 0 && unpricedCalls < calls ? ` and ${unpricedCalls} calls of unknown price` : ''
  return [
    fact('requests', `${calls}${errors > 0 ? `, ${errors} failed` : ''}`),
    fact('tokens', `${inputTokens} in, ${outputTokens} out`),
    fact('cost', cost + unpriced),
  ]
}

function fact(name: string, value: string): Line {
  return [{ text: name.padEnd(14), style: { dim: true } }, { text: value }]
}
