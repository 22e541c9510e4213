import { describeEachDatabase } from '../harness/databases.ts'
import { contentModesSuite } from './content-modes.suite.ts'

describeEachDatabase('content modes', contentModesSuite)
