import { describeEachDatabase } from '../harness/databases.ts'
import { erasedSuite } from './erased.suite.ts'

describeEachDatabase('erasure and the log', erasedSuite)
