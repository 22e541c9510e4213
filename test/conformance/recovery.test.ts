import { describeEachDatabase } from '../harness/databases.ts'
import { recoverySuite } from './recovery.suite.ts'

describeEachDatabase('recovery', recoverySuite)
