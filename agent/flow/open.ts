/** Reads vaults with identities, without a control plane: lists them, lists a backup, restores from it. */
import { Failure, fail, hasCode } from '#shared/errors.ts'
import { parseIdentityFile } from '#shared/format/keys.ts'
import { type Bytes, pathOf, type Range } from '#shared/format/tree-order.ts'
import { ALL, chooseBackups, LATEST, perhapsNewer } from '../core/open-choice.ts'
import { identityRing } from '../core/keyring.ts'
import type { OpenAsk, OpenEvent, Verdict } from '../core/open-events.ts'
import { noCounts, type RestoreCounts } from '../core/restore-events.ts'
import type { Extractors, ObjectSource, OpenWorld } from '../core/restore-ports.ts'
import { parsePath, placeOf } from '#shared/read/select.ts'
import { type OpenedVault, openVault, type VaultBackup } from './read-vault.ts'
import { createPackRows } from '#shared/read/packs.ts'
import { type TreeOf, walkTree } from '#shared/read/tree.ts'
import { restore } from './restore.ts'

type Tell = (event: OpenEvent) => void
export type Listener = {
  readonly tell: Tell
  /** Resolves when what was told is taken: a list may be longer than memory. */
  readonly taken: () => Promise<void>
  readonly stop: AbortSignal
}
type Session = Listener & { readonly ask: OpenAsk; readonly world: OpenWorld }

/** Does what was asked and tells all that happens. Throws where nothing could be done at all. */
export const open = async (
  ask: OpenAsk,
  world: OpenWorld,
  listener: Listener,
): Promise<Verdict> => {
  const session = { ask, world, ...listener }
  const { tell, stop } = listener
  const source = await sourceOf(ask, world)
  const texts = await Promise.all(ask.identities.map(async (path) => world.readText(path)))
  const keys = identityRing(texts.flatMap(parseIdentityFile))
  const vaults = await vaultsOf(ask, source)
  const verdicts: Verdict[] = []
  for (const vault of vaults) {
    stop.throwIfAborted()
    const genesis = ask.genesis === undefined ? {} : { genesis: ask.genesis }
    const opened = await openVault({ source, vault, keys, ...genesis })
    tellVault(tell, opened)
    verdicts.push(await act(session, opened))
  }
  return worst(verdicts)
}

const worst = (verdicts: readonly Verdict[]): Verdict =>
  verdicts.find((one) => one === 'damaged') ??
  verdicts.find((one) => one === 'partial') ??
  verdicts.find((one) => one === 'absent') ??
  'done'

const isUrl = (text: string): boolean => /^https?:\/\//i.test(text)

const sourceOf = async (ask: OpenAsk, world: OpenWorld): Promise<ObjectSource> => {
  const lists = await Promise.all(ask.urlFiles.map(async (path) => world.readText(path)))
  const listed = lists.flatMap((text) => text.split(/\r?\n/)).map((line) => line.trim())
  const urls = [...ask.sources.filter(isUrl), ...listed.filter((line) => line !== '')]
  const folders = ask.sources.filter((text) => !isUrl(text))
  const [folder] = folders
  if (folder !== undefined && folders.length === 1 && urls.length === 0) return world.folder(folder)
  if (folders.length === 0 && urls.length > 0) return world.urls(urls)
  throw fail('WRONG_USE', { problem: 'give one folder, or URLs of the objects of a vault' })
}

/** All of them for a list; the one that is meant for anything else. */
const vaultsOf = async (ask: OpenAsk, source: ObjectSource): Promise<readonly string[]> => {
  const all = await source.vaults()
  if (all.length === 0) throw fail('NOT_A_VAULT', { where: ask.sources.join(' ') })
  if (ask.vault !== undefined) {
    if (!all.includes(ask.vault)) {
      throw fail('RESOURCE_NOT_FOUND', { resource: 'vault', id: ask.vault })
    }
    return [ask.vault]
  }
  if (ask.action.do !== 'list' && all.length > 1) {
    throw fail('WRONG_USE', {
      problem: `there are several vaults: name one of ${all.join(', ')} with --vault`,
    })
  }
  return all
}

export const tellVault = (tell: Tell, opened: OpenedVault): void => {
  const { id, trust, chain, backups, problems, gaps } = opened
  tell({ at: 'vault', vault: id, trust, fingerprint: chain.fingerprint, backups: backups.length })
  for (const { key, failure } of problems) tell({ at: 'problem', key, problem: failure })
  for (const gap of gaps) tell({ at: 'gap', gap })
}

const act = async (session: Session, opened: OpenedVault): Promise<Verdict> => {
  const { ask, tell } = session
  const { action } = ask
  const damaged = opened.problems.length > 0
  if (action.do === 'list') {
    for (const { body } of opened.backups) tell({ at: 'backup', body })
    if (hasCode(opened.idKey, 'WRONG_KEY')) tell({ at: 'problem', key: '', problem: opened.idKey })
    return damaged ? 'damaged' : 'done'
  }
  const chosen = chooseBackups(opened, ask)
  const verdicts: Verdict[] = []
  for (const backup of chosen) {
    tell({ at: 'chosen', body: backup.body })
    verdicts.push(
      action.do === 'ls'
        ? await list(session, treeOf(opened, backup), action)
        : await restoreOne(session, opened, backup),
    )
  }
  if (ask.backup === LATEST && chosen.some((one) => warnOfNewer(session, opened, one))) {
    verdicts.push('partial')
  }
  return worst(verdicts)
}

/** "The newest" that can be used is not the newest there was: that must be heard. */
const warnOfNewer = ({ tell }: Session, opened: OpenedVault, taken: VaultBackup): boolean => {
  const keys = opened.problems.map(({ key }) => key)
  const newer = perhapsNewer(taken, keys)
  for (const key of newer) tell({ at: 'newer', key })
  return newer.length > 0
}

export const treeOf = ({ objects }: OpenedVault, { body }: VaultBackup): TreeOf => ({
  objects,
  packs: createPackRows(objects, body.packs),
  fence: body.fence,
})

type Ls = Extract<OpenAsk['action'], { do: 'ls' }>

const list = async (session: Session, tree: TreeOf, { path, recursive }: Ls): Promise<Verdict> => {
  const dir = parsePath(path)
  const inside: Range = recursive ? { at: 'subtree', dir } : { at: 'listing', dir }
  if (dir === '/') {
    const { lost } = await tellEntries(session, tree, recursive ? { at: 'all' } : inside)
    return lost ? 'damaged' : 'done'
  }
  const own = await tellEntries(session, tree, { at: 'entry', ...placeOf(dir) }, true)
  if (own.told > 0) return 'done'
  const within = await tellEntries(session, tree, inside)
  if (own.lost || within.lost) return 'damaged'
  if (own.found) return 'done'
  session.tell({ at: 'absent', path: dir })
  return 'absent'
}

type Told = { readonly told: number; readonly found: boolean; readonly lost: boolean }

/** `leaf`: a directory itself is only looked for; what is asked for is what lies in it. */
const tellEntries = async (
  { tell, taken, stop }: Session,
  tree: TreeOf,
  range: Range,
  leaf = false,
): Promise<Told> => {
  let told = 0
  let found = false
  let lost = false
  for await (const part of walkTree(tree, range)) {
    stop.throwIfAborted()
    await taken()
    if (part.part === 'lost') {
      const { from, to, failure } = part
      lost = true
      tell({ at: 'lost', from, to, problem: failure })
      continue
    }
    for (const { dir, name, entry } of part.entries) {
      found = true
      if (leaf && entry.type === 'directory') continue
      told += 1
      tell({ at: 'entry', path: pathOf(dir, name), entry })
    }
  }
  return { told, found, lost }
}

const restoreOne = async (
  session: Session,
  opened: OpenedVault,
  backup: VaultBackup,
): Promise<Verdict> => {
  const { ask, world } = session
  if (ask.action.do !== 'restore') return 'done'
  const folder =
    ask.backup === ALL ? `${ask.action.target}/${backup.body.backup}` : ask.action.target
  const idKey = idKeyOf(opened)
  const extractors = world.extractors(idKey, ask.sources.every(isUrl))
  const paths = ask.action.paths.map(parsePath)
  return restoreInto(session, { tree: treeOf(opened, backup), extractors }, { folder, paths })
}

/** The id key, or why there is none. */
export const idKeyOf = ({ idKey }: OpenedVault): Uint8Array => {
  if (idKey instanceof Failure) throw idKey
  return idKey
}

/** Ends the extractors. */
export const restoreInto = async (
  { world, tell, taken, stop }: Listener & { readonly world: OpenWorld },
  { tree, extractors }: { readonly tree: TreeOf; readonly extractors: Extractors },
  { folder, paths }: { readonly folder: string; readonly paths: readonly Bytes[] },
): Promise<Verdict> => {
  const target = world.target(folder)
  const counts = noCounts()
  try {
    tell({ at: 'restoring', counts })
    const wish = { paths, globs: [] }
    await restore({ tree, target, extractors, wish, tell, taken, counts }, stop)
    tell({ at: 'restored', counts, folder })
    return verdictOf(counts)
  } finally {
    await extractors.close()
    target.close()
  }
}

/** Partial where something is there and something is not; damaged where the vault gave nothing. */
export const verdictOf = (counts: RestoreCounts): Verdict => {
  const { files, directories, others, damaged, lost, failed, absent } = counts
  if (damaged + lost + failed + absent === 0) return 'done'
  if (files + others > 0) return 'partial'
  if (damaged + lost > 0) return 'damaged'
  return absent > 0 && directories + failed === 0 ? 'absent' : 'partial'
}
