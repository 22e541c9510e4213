import { expect, test } from 'vitest'
import { startGateway } from '../gateway/running.ts'
import { recipes } from './recipes.ts'

test('every route has a recipe, and every recipe a route', async () => {
  const { gateway } = await startGateway()
  const routes = [...gateway.routes].flatMap(([url, methods]) =>
    [...methods].filter(method => method !== 'HEAD').map(method => `${method} ${url}`),
  )
  expect(routes.sort()).toEqual(Object.keys(recipes).sort())
})
