import { describeEachDatabase } from '../harness/databases.ts'
import { itemsSuite } from './items.suite.ts'

describeEachDatabase('items', itemsSuite)
