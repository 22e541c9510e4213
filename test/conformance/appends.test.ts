import { describeEachDatabase, describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { appendRacesSuite, appendsSuite } from './appends.suite.ts'

describeEachDatabaseAndMemory('appends', appendsSuite)
describeEachDatabase('appends of two processes', appendRacesSuite)
