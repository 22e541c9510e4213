import { describeEachDatabase } from '../harness/databases.ts'
import { lookupSuite } from './lookup.suite.ts'

describeEachDatabase('lookup', lookupSuite)
