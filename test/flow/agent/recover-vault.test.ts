/** What a recovery is told of a vault, and what of it a hostile bucket can spoil. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { fail } from '#shared/errors.ts'
import { makeIdentity } from '#shared/format/keys.ts'
import { parseKey } from '#shared/format/layout.ts'
import { verifyChain } from '#shared/format/signers.ts'
import type { FromReader } from '#shared/protocol/recovery.ts'
import type { ObjectSource } from '#agent/core/restore-ports.ts'
import { recoverVault } from '#agent/flow/recover-vault.ts'
import type { Rig } from '../../support/agent-backup.ts'
import { fill, newRig } from '../../support/agent-backup-checks.ts'

const LIST = makeIdentity(randomBytes(32)).recipient.text

const sourceOn = (store: ReadonlyMap<string, Buffer>): ObjectSource => ({
  vaults: async () => Promise.resolve([]),
  list: async (prefix) =>
    Promise.resolve([...store.keys()].filter((key) => key.startsWith(prefix)).sort()),
  size: async (key) => Promise.resolve(store.get(key)?.length ?? null),
  read: async (key, start, end) => {
    const bytes = store.get(key)
    if (bytes === undefined) throw fail('MISSING_OBJECT', { key })
    if (bytes.length < end)
      throw fail('DAMAGED', { what: `The object ${key}`, problem: 'it ends too early' })
    return Promise.resolve(bytes.subarray(start, end))
  },
  whereabouts: (key) => ({ file: key }),
})

type Told = {
  readonly all: readonly FromReader[]
  of<T extends FromReader['do']>(kind: T): Extract<FromReader, { do: T }>[]
}

const vaultOf = (r: Rig): string => {
  const parsed = parseKey([...r.cp.store.keys()][0] ?? '')
  return parsed !== null && 'vault' in parsed ? parsed.vault : ''
}

const recovered = async (
  r: Rig,
  how: { readonly seed?: Uint8Array; readonly list?: string } = {},
): Promise<Told> => {
  const all: FromReader[] = []
  const vault = vaultOf(r)
  const kit = {
    organization: 'test',
    organizationId: vault,
    madeAt: '',
    identity: r.identity.text,
    signingSeed: how.seed ?? r.organizationSeed,
    storage: null,
  }
  await recoverVault(
    {
      kit,
      identities: [r.identity],
      source: sourceOn(r.cp.store),
      clock: { now: () => 1_800_000_000_000 },
      tell: async (message) => {
        all.push(structuredClone(message))
        return Promise.resolve()
      },
    },
    { do: 'vault', vault, keys: [...r.cp.store.keys()].sort(), list: how.list ?? LIST },
  )
  return { all, of: (kind) => all.filter((one) => one.do === kind) as never }
}

/** A vault of three backups, each of which changes something. */
const threeBackups = async (): Promise<Rig> => {
  const r = newRig()
  fill(r.source)
  await r.backup()
  appendFileSync(join(r.source, 'a.txt'), '!')
  await r.backup()
  writeFileSync(join(r.source, 'another'), randomBytes(5000))
  await r.backup()
  return r
}

const keysOf = (r: Rig, folder: string): string[] =>
  [...r.cp.store.keys()].filter((key) => key.includes(`/${folder}/`)).sort()

/** What each backup uses, put together from what is told of differences. */
const usesOf = (told: Told): number[][] => {
  const used = new Set<number>()
  return told.of('backup').map(({ added, removed }) => {
    for (const no of removed) used.delete(no)
    for (const no of added) used.add(no)
    return [...used].sort((a, b) => a - b)
  })
}

const spoil = (r: Rig, key: string): void => {
  const bytes = Buffer.from(r.cp.store.get(key)!)
  bytes[bytes.length - 40]! ^= 1
  r.cp.store.set(key, bytes)
}

describe('a vault', () => {
  test('is told whole: chain, backups in order, and exactly the objects that each uses', async () => {
    const r = await threeBackups()
    const told = await recovered(r)
    expect(told.of('problem')).toEqual([])
    expect(told.of('end')).toEqual([{ do: 'end' }])
    expect(told.of('backup').map(({ sequence }) => sequence)).toEqual([1, 2, 3])
    expect(usesOf(told)).toEqual(
      r.cp.commits.map(({ live }) => [...live.keys()].sort((a, b) => a - b)),
    )
    const objects = told.of('objects').flatMap((one) => one.objects)
    const trees = objects.filter(({ key }) => key.includes('/trees/'))
    expect(objects.every(({ header }) => header !== null)).toBe(true)
    expect(trees.length).toBeGreaterThan(0)
    expect(objects.filter(({ file_key }) => file_key !== undefined)).toEqual(trees)
  })

  test('gets a signer with the new list recipient, which continues the chain; none where it is in force', async () => {
    const r = await threeBackups()
    const [{ next, signers, recipients } = fail('INTERNAL') as never] = (await recovered(r)).of(
      'chain',
    )
    const genesis = r.cp.store.get(signers[0]!)!
    const chain = verifyChain(genesis, [Buffer.from(next!, 'base64url')])
    expect(chain.recipients).toEqual({ ...recipients, list: [LIST] })
    expect(Buffer.from(chain.signers[1]!)).toEqual(Buffer.from(chain.signers[0]!))
    const [again] = (await recovered(r, { list: recipients.list[0]! })).of('chain')
    expect(again?.next).toBeNull()
  })

  test('of another organization, or without a genesis, is refused and named', async () => {
    const r = await threeBackups()
    const other = await recovered(r, { seed: randomBytes(32) })
    expect(other.of('chain')).toEqual([])
    expect(other.of('end')[0]?.problem?.message).toContain('another organization')
    for (const key of keysOf(r, 'signers')) r.cp.store.delete(key)
    const none = await recovered(r)
    expect(none.of('end')[0]?.problem?.code).toBe('MISSING_OBJECT')
  })
})

describe('a hostile bucket', () => {
  test('spoils a record: it is named, and the others are told with what they use', async () => {
    const r = await threeBackups()
    const [, second = ''] = r.cp.commits.map(({ recordKey }) => recordKey)
    spoil(r, second)
    const told = await recovered(r)
    expect(told.of('problem').map(({ key }) => key)).toEqual([second])
    expect(told.of('backup').map(({ sequence }) => sequence)).toEqual([1, 3])
    expect(told.of('gap')).toMatchObject([{ gap: 'missing', first: 2, last: 2 }])
    const [first, , third] = r.cp.commits.map(({ live }) => [...live.keys()].sort((a, b) => a - b))
    expect(usesOf(told)).toEqual([first, third])
  })

  test('has a record that nobody of the vault signed, under a name of its own', async () => {
    const r = await threeBackups()
    const stranger = newRig()
    fill(stranger.source)
    await stranger.backup()
    const [record = ''] = keysOf(stranger, 'backups')
    const key = record.replace(vaultOf(stranger), vaultOf(r))
    r.cp.store.set(key, stranger.cp.store.get(record)!)
    const told = await recovered(r)
    expect(told.of('problem').map((one) => one.key)).toEqual([key])
    expect(told.of('backup')).toHaveLength(3)
  })

  test('has lost a pack, or swapped one: the backups stay, and that object is said not to be there', async () => {
    const r = await threeBackups()
    const [one = '', two = ''] = keysOf(r, 'packs')
    r.cp.store.delete(one)
    r.cp.store.set(two, Buffer.from(r.cp.store.get(keysOf(r, 'trees')[0]!)!))
    const told = await recovered(r)
    const absent = told
      .of('objects')
      .flatMap((all) => all.objects.filter(({ header }) => header === null))
    expect(absent.map(({ key }) => key).sort()).toEqual([one, two])
    expect(
      told
        .of('problem')
        .map(({ key }) => key)
        .sort(),
    ).toEqual([one, two])
    expect(told.of('backup')).toHaveLength(3)
  })

  test('has lost the table of one backup: that one is named and not told, the others are', async () => {
    const r = await threeBackups()
    const third = r.cp.commits[2]!.live
    const before = new Set([...r.cp.commits[0]!.live.keys(), ...r.cp.commits[1]!.live.keys()])
    for (const key of keysOf(r, 'trees')) {
      const parsed = parseKey(key)
      if (parsed?.kind === 'tree' && third.has(parsed.no) && !before.has(parsed.no))
        r.cp.store.delete(key)
    }
    const told = await recovered(r)
    expect(told.of('backup').map(({ sequence }) => sequence)).toEqual([1, 2])
    expect(told.of('problem').map(({ key }) => key)).toContain(r.cp.commits[2]!.recordKey)
  })

  test('continues the chain by a key that nobody confirmed: what it signs is not told', async () => {
    const r = await threeBackups()
    const [genesis = ''] = keysOf(r, 'signers')
    const forged = genesis.replace('/0-', '/1-')
    const line = r.cp.store
      .get(genesis)!
      .toString()
      .replace('"agent_key"', '"number":1,"agent_key"')
    r.cp.store.set(forged, Buffer.from(line))
    const told = await recovered(r)
    expect(told.of('problem').map(({ key }) => key)).toEqual([forged])
    expect(told.of('backup')).toHaveLength(3)
    expect(told.of('chain')[0]?.signers).toEqual([genesis])
  })
})
