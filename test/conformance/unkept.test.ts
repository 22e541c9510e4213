import { describeEachDatabase } from '../harness/databases.ts'
import { unkeptSuite } from './unkept.suite.ts'

describeEachDatabase('content that is not kept', unkeptSuite)
