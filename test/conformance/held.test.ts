import { describeEachDatabase } from '../harness/databases.ts'
import { heldSuite } from './held.suite.ts'

describeEachDatabase('what is held', heldSuite)
