import type { Recipe } from './isolation-recipes.ts'

const noConversation = [404, 'conversation_not_found'] as const
const noCall = [404, 'call_not_found'] as const
const noComparison = [404, 'comparison_not_found'] as const
const denied = [403, 'permission_denied'] as const
const fine = [200] as const

const compared = { models: ['echo', 'echo/echo'], messages: [{ role: 'user', content: 'Hello' }] }
const choiceOf = (comparison: string): string => `/v1/comparisons/${comparison}/choice`

/** How somebody may try to reach what was compared for Ada. */
export const comparisonRecipes: Readonly<Record<string, Recipe>> = {
  'POST /v1/comparisons': {
    attempts: ({ conversation }) => [
      { path: '/v1/comparisons', body: compared, own: fine },
      { path: '/v1/comparisons', body: { ...compared, user: 'ada' }, own: denied, isOutranked: true },
      {
        path: '/v1/comparisons',
        body: compared,
        headers: { 'x-stele-conversation': conversation },
        own: noConversation,
      },
    ],
  },
  'POST /v1/comparisons/:id/choice': {
    attempts: ({ comparison }, own) => [
      { path: choiceOf(comparison), body: { call_id: comparison }, own: noCall },
      { path: choiceOf(comparison), body: { call_id: null }, own: noComparison },
      { path: choiceOf(own.comparison), body: { call_id: comparison }, own: noCall },
      {
        path: choiceOf(own.comparison),
        body: { call_id: own.comparison, user: 'ada' },
        own: denied,
        isOutranked: true,
      },
    ],
  },
}
