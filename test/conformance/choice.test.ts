import { describeEachDatabase } from '../harness/databases.ts'
import { choiceSuite } from './choice.suite.ts'

describeEachDatabase('choices', choiceSuite)
