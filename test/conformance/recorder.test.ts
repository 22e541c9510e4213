import { describeEachDatabaseAndMemory } from '../harness/databases.ts'
import { interactionSuite } from './interaction.suite.ts'
import { recorderSuite } from './recorder.suite.ts'

describeEachDatabaseAndMemory('recorder', recorderSuite)
describeEachDatabaseAndMemory('interaction', interactionSuite)
