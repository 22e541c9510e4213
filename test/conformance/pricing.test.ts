import { describeEachDatabase } from '../harness/databases.ts'
import { pricingSuite } from './pricing.suite.ts'

describeEachDatabase('pricing', pricingSuite)
