import { describeEachDatabase } from '../harness/databases.ts'
import { callContentsSuite } from './call-contents.suite.ts'

describeEachDatabase('what events of calls commit to', callContentsSuite)
