/** A tree is made, edited, backed up and restored again and again; each backup must give back what was there. */
import type { Rig } from './agent-backup.ts'
import { editTree } from './fidelity-edits.ts'
import { restoreNewest } from './fidelity-run.ts'
import { differences, snapshot } from './same-tree.ts'
import type { Seeded } from './seeded.ts'

const GENERATIONS = 3
const EDITS = 80

/** What was not as it was, a line each; empty when all is well. */
export const fidelityRound = async (r: Rig, dice: Seeded): Promise<string[]> => {
  const wrong: string[] = []
  for (let generation = 1; generation <= GENERATIONS; generation += 1) {
    editTree(r.source, dice.fork(String(generation)), EDITS)
    const before = snapshot(r.source, true)
    await r.backup()
    const { errors } = r.read().record
    const restored = await restoreNewest(r)
    const found = [
      ...(errors.count === 0 ? [] : [`${errors.count} errors: ${JSON.stringify(errors.first)}`]),
      ...(restored.exit === 0 ? [] : [`the restore ended with ${restored.exit}: ${restored.err}`]),
      ...differences(before, snapshot(restored.place, true)),
    ]
    restored.dispose()
    wrong.push(...found.map((text) => `backup ${generation}: ${text}`))
  }
  await r.backup()
  const { changed } = r.read().record.counts
  return changed === 0 ? wrong : [...wrong, `${changed} entries of an unchanged tree were changed`]
}
