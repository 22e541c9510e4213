import { describeEachDatabase } from '../harness/databases.ts'
import { documentsSuite } from './documents.suite.ts'

describeEachDatabase('documents', documentsSuite)
