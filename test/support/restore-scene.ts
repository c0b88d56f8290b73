/** A small vault with one backup, and a control plane that orders restores of it. */
import { existsSync } from 'node:fs'
import { type RestorePlane, startRestorePlane } from './restore-plane.ts'
import { snapshot } from './same-tree.ts'
import { seeded } from './seeded.ts'
import { directory, file, type VaultPlace, vaultPlace } from './vault-place.ts'
import type { TestEntry } from './vault-tree.ts'
import type { WrittenBackup } from './vault-writer.ts'

/** Everything in several parts: pieces, frames, segments, fences, lists, packs. */
const SMALL = {
  chunk: 4000,
  frameTarget: 8000,
  entriesPerSegment: 12,
  itemsPerFence: 4,
  listAbove: 8,
  locatorsPerList: 3,
  packTarget: 60_000,
}

export type RestoreScene = {
  readonly place: VaultPlace
  readonly plane: RestorePlane
  readonly backup: WrittenBackup
}

/** The record counts 77 files of 7777 bytes, whatever there is. */
export const restoreScene = async (
  entries: readonly TestEntry[],
  sources: readonly string[] = ['/'],
): Promise<RestoreScene> => {
  const place = vaultPlace('restore run', SMALL)
  const backup = place.writer.backup(entries, {
    change: (body) => ({
      ...body,
      sources: [{ type: 'files', paths: sources }],
      counts: { ...body.counts, files: 77 },
      bytes: { ...body.bytes, source: 7777 },
    }),
  })
  return { place, plane: await startRestorePlane(place.writer), backup }
}

export const sixtyFiles = async (): Promise<RestoreScene> => {
  const chance = seeded('sixty files')
  return restoreScene([
    directory('/d'),
    ...Array.from({ length: 60 }, (_, i) =>
      file(`/d/f${String(i)}`, chance.bytes(2000 + chance.below(9000))),
    ),
  ])
}

/** What lies in the folder under temporary names. */
export const halfMade = (folder: string): string[] =>
  existsSync(folder)
    ? [...snapshot(folder).keys()].filter((path) => path.includes('.holdfast'))
    : []
