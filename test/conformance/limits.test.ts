import { describeEachDatabase } from '../harness/databases.ts'
import { limitsSuite } from './limits.suite.ts'

describeEachDatabase('limits', limitsSuite)
