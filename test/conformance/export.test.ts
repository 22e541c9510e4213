import { describeEachPair } from '../harness/databases.ts'
import { exportSuite } from './export.suite.ts'

describeEachPair('export and import', exportSuite)
