import { describeEachPair } from '../harness/databases.ts'
import { copySuite } from './copy.suite.ts'

describeEachPair('copy', copySuite)
