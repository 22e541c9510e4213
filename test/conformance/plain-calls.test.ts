import { describeEachDatabase } from '../harness/databases.ts'
import { plainCallsSuite } from './plain-calls.suite.ts'

describeEachDatabase('calls that are no chat', plainCallsSuite)
