/** Trees of every kind of entry, edited at random, backed up and restored: everything comes back as it was. */
import { mkdirSync } from 'node:fs'
import { native } from '#agent/io/native.ts'
import { SECOND } from '#shared/units.ts'
import { rig } from '../support/agent-backup.ts'
import { fidelityRound } from '../support/fidelity-rounds.ts'
import { hasProgram } from '../support/programs.ts'
import type { SoakCheck } from './check.ts'

const NEEDED = ['getfattr', 'setfacl']

export const check: SoakCheck = {
  about: 'Edits trees of every kind of entry, backs them up, restores and compares.',
  deadline: 120 * SECOND,
  casesARound: 1,
  round: async () => {
    const missing = NEEDED.filter((name) => !hasProgram(name))
    if (missing.length > 0) throw new Error(`this needs ${missing.join(' and ')}`)
    if (native() === null) throw new Error('this needs koffi')
    return Promise.resolve({
      cases: 1,
      run: async (_, chance) => {
        const r = rig()
        mkdirSync(r.source)
        try {
          return { kind: 'tree', violations: await fidelityRound(r, chance) }
        } finally {
          r.dispose()
        }
      },
      close: async () => Promise.resolve(),
    })
  },
}
