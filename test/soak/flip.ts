/**
 * Any object damaged, cut, swapped, removed or replayed: exactly the files concerned are named, the others restored. At random;
 * `flips` goes over everything, one thing after the other.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compareOrder, pathOf } from '#shared/format/tree-order.ts'
import { SECOND } from '#shared/units.ts'
import { type Line, type OpenRun, runOpen } from '../support/run-open.ts'
import { differences, type Fact, snapshot } from '../support/same-tree.ts'
import type { WrittenBackup } from '../support/vault-writer.ts'
import type { CaseResult, SoakCheck } from './check.ts'
import { type Damage, makeDamage } from './flip-damage.ts'
import { affected, type Present } from './flip-oracle.ts'
import { factsOf, makeWorld, TINY, type World } from './flip-world.ts'

const CASES = 40
const ROOT = process.geteuid?.() === 0

export const check: SoakCheck = {
  about: 'Damages objects of a vault and restores every backup of it.',
  deadline: 60 * SECOND,
  round: async (_, chance, folder) => {
    const world = makeWorld(chance)
    const other = makeWorld(chance.fork('other'), TINY)
    world.writer.writeTo(join(folder, 'bucket'))
    writeFileSync(join(folder, 'identity'), `${world.writer.identity.text}\n`)
    const { objects } = world.writer
    return Promise.resolve({
      cases: CASES,
      run: async (_i, dice) =>
        runCase({ world, folder }, makeDamage(dice, objects, other.writer.objects)),
      close: async () => Promise.resolve(),
    })
  },
}

type Setting = { readonly world: World; readonly folder: string }

export const runCase = async ({ world, folder }: Setting, damage: Damage): Promise<CaseResult> => {
  const violations: string[] = []
  const now = new Map(world.writer.objects)
  try {
    for (const [key, bytes] of damage.changes) {
      put(folder, key, bytes)
      if (bytes === null) now.delete(key)
      else now.set(key, bytes)
    }
    for (const backup of world.backups) {
      const found = await checkBackup({ world, folder }, backup, now)
      const number = world.backups.indexOf(backup) + 1
      violations.push(...found.map((text) => `backup ${number}: ${text}`))
    }
  } finally {
    for (const key of damage.changes.keys()) put(folder, key, world.writer.objects.get(key) ?? null)
  }
  const keys = [...damage.changes.keys()].join(', ')
  return {
    kind: damage.kind,
    violations: violations.length === 0 ? [] : [`damaged: ${keys}`, ...violations],
  }
}

const put = (folder: string, key: string, bytes: Uint8Array | null): void => {
  const path = join(folder, 'bucket', key)
  if (bytes === null) rmSync(path)
  else writeFileSync(path, bytes)
}

const checkBackup = async (
  { world, folder }: Setting,
  backup: WrittenBackup,
  now: Present,
): Promise<string[]> => {
  const target = join(folder, 'target')
  mkdirSync(target)
  try {
    const wanted = affected(world, backup, now)
    const run = await restore(world, folder, { backup, target })
    return [
      ...setDifferences(wanted, reported(run, backup)),
      ...exitProblems(run.exit, wanted.size, {
        all: backup.files.length,
        gone: !now.has(backup.key),
      }),
      ...treeProblems(factsOf(backup, ROOT), snapshot(target), { wanted, backup }),
    ]
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

const restore = async (
  { writer }: World,
  folder: string,
  { backup, target }: { readonly backup: WrittenBackup; readonly target: string },
): Promise<OpenRun> =>
  runOpen([
    join(folder, 'bucket'),
    ...['--identity', join(folder, 'identity'), '--vault', writer.vault],
    ...[`--genesis=${writer.fingerprint}`, '--backup', backup.backup, '--json'],
    ...['restore', target],
  ])

const bytesOf = (line: Line, name: string): string => {
  const text = line[name]
  if (typeof text === 'string') return Buffer.from(text, 'utf8').toString('latin1')
  const twin = line[`${name}b`]
  return typeof twin === 'string' ? Buffer.from(twin, 'base64').toString('latin1') : ''
}

/** Every path that the command says is not restored; all of them where it says that nothing can be. */
const reported = (run: OpenRun, backup: WrittenBackup): Set<string> => {
  const places = backup.files.map(({ test }) => test)
  if (run.lines.some((line) => line['event'] === 'error')) {
    return new Set(places.map(({ dir, name }) => pathOf(dir, name)))
  }
  const out = new Set<string>()
  for (const line of run.lines) {
    if (line['event'] === 'damaged') out.add(bytesOf(line, 'path'))
    if (line['event'] !== 'lost') continue
    const from = placeAt(bytesOf(line, 'from'))
    const to = line['to'] === null ? null : placeAt(bytesOf(line, 'to'))
    for (const { dir, name } of places) {
      const after = compareOrder(dir, name, from.dir, from.name) >= 0
      const before = to === null || compareOrder(dir, name, to.dir, to.name) < 0
      if (after && before) out.add(pathOf(dir, name))
    }
  }
  return out
}

const placeAt = (path: string): { readonly dir: string; readonly name: string } => {
  const cut = path.lastIndexOf('/')
  return { dir: cut === 0 ? '/' : path.slice(0, cut), name: path.slice(cut + 1) }
}

const setDifferences = (wanted: ReadonlySet<string>, got: ReadonlySet<string>): string[] => [
  ...[...wanted]
    .filter((path) => !got.has(path))
    .map((path) => `${path} is affected and not named`),
  ...[...got]
    .filter((path) => !wanted.has(path))
    .map((path) => `${path} is named and not affected`),
]

type Scale = { readonly all: number; readonly gone: boolean }

const exitProblems = (exit: number, count: number, { all, gone }: Scale): string[] => {
  if (count === 0) return exit === 0 ? [] : [`exit code ${exit} with nothing affected`]
  // A backup without a record is one that there is not.
  if (exit === 3 || exit === 7 || (exit === 5 && gone)) return []
  return [`exit code ${exit} with ${count} of ${all} affected`]
}

/** All that is not affected is there and right; of what is affected, only folders may be there. */
const treeProblems = (
  facts: ReadonlyMap<string, Fact>,
  got: ReadonlyMap<string, Fact>,
  { wanted, backup }: { readonly wanted: ReadonlySet<string>; readonly backup: WrittenBackup },
): string[] => {
  // Which names are one file is looked at below: a lost name changes the count of the others.
  const bare = new Map([...got].map(([path, fact]) => [path, withoutLinks(fact)] as const))
  const wrong = [...wanted].filter((path) => {
    const type = got.get(path)?.['type']
    return type !== undefined && type !== 'directory'
  })
  return [
    ...differences(facts, bare, wanted),
    ...wrong.map((path) => `${path} is affected and there`),
    ...linkProblems(got, { wanted, backup }),
  ]
}

const withoutLinks = (fact: Fact): Fact =>
  Object.fromEntries(
    Object.entries(fact).filter(([field]) => field !== 'links' && field !== 'linked'),
  )

const linkProblems = (
  got: ReadonlyMap<string, Fact>,
  { wanted, backup }: { readonly wanted: ReadonlySet<string>; readonly backup: WrittenBackup },
): string[] => {
  const names = backup.files
    .filter(({ test }) => test.entry.hardlink !== undefined)
    .map(({ test }) => pathOf(test.dir, test.name))
    .filter((path) => !wanted.has(path))
  if (names.length < 2) return []
  const firsts = new Set(names.map((path) => got.get(path)?.['linked']))
  return firsts.size === 1 ? [] : [`${names.join(', ')} are no longer one file`]
}
