import { describeEachDatabase } from '../harness/databases.ts'
import { forgedCallsSuite } from './forged-calls.suite.ts'
import { mutationsSuite } from './mutations.suite.ts'

describeEachDatabase('changes in the database', mutationsSuite)
describeEachDatabase('calls that were put into the database', forgedCallsSuite)
