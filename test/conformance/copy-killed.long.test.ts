import { describeEachPair } from '../harness/databases.ts'
import { copyKilledSuite } from './copy-killed.suite.ts'

describeEachPair('copy, killed', copyKilledSuite)
