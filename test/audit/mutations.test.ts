import { describeEachDatabase } from '../harness/databases.ts'
import { mutationsSuite } from './mutations.suite.ts'

describeEachDatabase('changes in the database', mutationsSuite)
