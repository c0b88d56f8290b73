/** The folder of the agent's own files, looked at from outside: what it knows, and what must not be left there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { recordPack, RECORD_BYTES } from '#agent/core/dedup.ts'

/** Numbers of the packs that the agent has heard are confirmed. */
export const knownPacks = (state: string): ReadonlySet<number> => {
  const vaults = join(state, 'vaults')
  if (!existsSync(vaults)) return new Set()
  const lines = readdirSync(vaults).flatMap((vault) => {
    const path = join(vaults, vault, 'packs')
    // The last line may be cut off in its middle: then it is none.
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
  })
  return new Set(lines.map((line) => (JSON.parse(line) as [number])[0]))
}

const ALLOWED = [
  /^(agent|outcomes)\.json$/,
  /^status\.sock$/,
  /^vaults\/[0-9a-f-]+\/(secret\.json|packs|blobs)$/,
  /^jobs\/[0-9a-f-]+\/(parent\.json|tree-[0-9a-f-]+\.zst)$/,
]

/** A quarter of the records may be of packs that were never confirmed, before they are thrown out. */
const MOST_DEAD = 0.25

const deadShare = (folder: string, known: ReadonlySet<number>): number => {
  const bytes = readFileSync(join(folder, 'blobs'))
  const count = Math.floor(bytes.length / RECORD_BYTES)
  let dead = 0
  for (let i = 0; i < count; i += 1)
    if (!known.has(recordPack(bytes.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES)))) dead += 1
  return count === 0 ? 0 : dead / count
}

/** What is wrong with the folder after a run that went well. */
export const garbageIn = (state: string): readonly string[] => {
  const files = readdirSync(state, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(state.length + 1))
  const strange = files.filter((file) => !ALLOWED.some((pattern) => pattern.test(file)))
  const trees = files.filter((file) => file.endsWith('.zst'))
  const known = knownPacks(state)
  const full = readdirSync(join(state, 'vaults'))
    .map((vault) => deadShare(join(state, 'vaults', vault), known))
    .filter((share) => share > MOST_DEAD)
  return [
    ...strange.map((file) => `the agent left ${file} behind`),
    ...(trees.length === 1 ? [] : [`the agent keeps ${trees.length} local trees of one job`]),
    ...full.map((share) => `${Math.round(100 * share)} % of the agent's records are dead`),
  ]
}
