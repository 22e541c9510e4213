import { describeEachDatabase } from '../harness/databases.ts'
import { compressionSuite } from './compression.suite.ts'

describeEachDatabase('requests that are sent compressed', compressionSuite)
