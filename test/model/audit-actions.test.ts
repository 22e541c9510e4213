import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { categoryOf } from '../../src/audit/events/categorize.ts'
import { applicationAction, auditActions, eventTypeOf } from '../../src/model/audit-actions.ts'

test('the documented actions are the rows of the table, in its order and words', () => {
  const text = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8')
  const rows = text
    .split('\n')
    .filter(line => /^\| `[a-z_]+\.[a-z_]+` \|/.test(line))
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
    // Others tell more of some of them.
    .filter(cells => cells.length === 5)
  const expected = Object.entries(auditActions).map(([action, { category, severity, tells, details }]) => [
    `\`${action}\``,
    category,
    severity,
    tells,
    details,
  ])
  expect(rows).toEqual(expected)
})

test('no name that an application gives is one of these', () => {
  for (const action of Object.keys(auditActions)) {
    expect(eventTypeOf(action)).toBeUndefined()
    expect(Object.keys(auditActions)).not.toContain(applicationAction(action))
    expect(eventTypeOf(applicationAction(action))).toBe(action)
  }
})

test.each([
  ['blocked_content', 'security'],
  ['pii_detected', 'security'],
  ['userLoginFailed', 'security'],
  ['consent.withdrawn', 'compliance'],
  ['data_export', 'compliance'],
  ['document_viewed', 'access'],
  ['tool-call', 'access'],
  ['agent_started', 'system'],
  ['model_error', 'system'],
  ['lunch', 'general'],
] as const)('%s speaks of %s', (eventType, category) => {
  expect(categoryOf(eventType)).toBe(category)
})
