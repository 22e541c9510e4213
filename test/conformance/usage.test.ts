import { describeEachDatabase } from '../harness/databases.ts'
import { usageSuite } from './usage.suite.ts'

describeEachDatabase('usage', usageSuite)
