import { describeEachDatabase } from '../harness/databases.ts'
import { rotationSuite } from './rotation.suite.ts'

describeEachDatabase('rotation of keys', rotationSuite)
