/** The workload `files`: a real tree of this machine, unchanged. */
import { compare } from './compare.ts'
import { measure } from './measure.ts'
import type { BenchReport, BenchSettings } from './report.ts'

export const benchFiles = async (settings: BenchSettings): Promise<BenchReport> => {
  const paths = settings.chosen.length === 0 ? ['/usr/share', '/usr/lib'] : settings.chosen
  settings.say(`reading ${paths.join(' ')} once, so that nobody pays for a cold cache`)
  await measure({
    argv: ['sh', '-c', 'tar -cf - -- "$@" 2>/dev/null | cat >/dev/null', 'sh', ...paths],
  })
  const subject = {
    name: 'files',
    says: 'a tree of this machine, as it is',
    input: async () => Promise.resolve({ paths, holds: null, change: null }),
  }
  // It has the size that it has.
  return await compare(subject, { ...settings, scale: 1 })
}
