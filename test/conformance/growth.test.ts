import { describe } from 'vitest'
import { describeEachDatabase, memoryPlace } from '../harness/databases.ts'
import { growthInDetailSuite, growthSuite } from './growth.suite.ts'

describeEachDatabase('growth', growthSuite)
describe('growth in detail', () => growthInDetailSuite({ name: 'SQLite memory', place: memoryPlace }))
