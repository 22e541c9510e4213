import { describeEachDatabase } from '../harness/databases.ts'
import { listedSuite } from './listed.suite.ts'

describeEachDatabase('stored completions', listedSuite)
