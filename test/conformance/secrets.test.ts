import { describeEachDatabase } from '../harness/databases.ts'
import { secretsSuite } from './secrets.suite.ts'

describeEachDatabase('secrets', secretsSuite)
