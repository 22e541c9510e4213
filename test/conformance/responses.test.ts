import { describeEachDatabase } from '../harness/databases.ts'
import { responsesSuite } from './responses.suite.ts'

describeEachDatabase('responses on record', responsesSuite)
