import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { accountsSuite } from './accounts.suite.ts'

describeEachDatabaseAndMemory('accounts', accountsSuite)
