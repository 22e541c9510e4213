import { describeEachDatabase } from '../harness/databases.ts'
import { migrationsSuite } from './migrations.suite.ts'

describeEachDatabase('migrations', migrationsSuite)
