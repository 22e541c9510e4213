export * from '../../src/recorder/recovery.ts'

export async function recoverOrphans(): Promise<number> {
  return 0
}
