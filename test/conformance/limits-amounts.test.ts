import { describeEachDatabase } from '../harness/databases.ts'
import { limitAmountsSuite } from './limits-amounts.suite.ts'

describeEachDatabase('amounts of limits', limitAmountsSuite)
