import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { createExtract } from '#agent/io/restore-extract.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { sha256 } from '#shared/format/keys.ts'
import { sealedFor } from '#shared/protocol/open-request.ts'
import type { OpenedPack, RestoreStart } from '#shared/protocol/restore-orders.ts'
import { QUICK } from '../../support/agent-linked.ts'
import { seeded } from '../../support/seeded.ts'
import { failureOf, type RestorePlane } from '../../support/restore-plane.ts'
import { restoreScene } from '../../support/restore-scene.ts'
import { directory, file, type VaultPlace } from '../../support/vault-place.ts'
import { createVaultWriter, type WrittenBackup } from '../../support/vault-writer.ts'

// A control plane that means harm, or is confused: it may withhold, and nothing else.

let place: VaultPlace
let plane: RestorePlane
let backup: WrittenBackup
afterEach(async () => {
  expect(place.outsideChanges()).toEqual([])
  await plane.close()
  place.remove()
})

const CONTENT = new Map(
  Array.from({ length: 30 }, (_, i) => [
    `f${String(i)}`,
    seeded(`content ${String(i)}`).bytes(3000 + 100 * i),
  ]),
)
const entries = [directory('/d'), ...[...CONTENT].map(([name, bytes]) => file(`/d/${name}`, bytes))]

const begin = async (): Promise<void> => {
  ;({ place, plane, backup } = await restoreScene(entries))
}

/** Nothing but what was backed up ever stands under a name. */
const onlyRight = (): number => {
  const dir = join(place.target, 'd')
  const names = existsSync(dir) ? readdirSync(dir) : []
  for (const name of names)
    expect(Buffer.compare(readFileSync(join(dir, name)), CONTENT.get(name)!)).toBe(0)
  return names.length
}

type Forge = (order: RestoreStart) => Partial<RestoreStart> | Promise<Partial<RestoreStart>>

const given = async (forge: Forge, known = true): Promise<string> => {
  await begin()
  const order = plane.order(backup, { target: place.target })
  const how = known ? {} : { genesisOf: () => null }
  const why = await failureOf(plane.run({ ...order, ...(await forge(order)) }, how))
  expect(existsSync(place.target) ? readdirSync(place.target) : []).toEqual([])
  return why
}

const stranger = (): { signers: string[]; writer: ReturnType<typeof createVaultWriter> } => {
  const writer = createVaultWriter({ random: seeded('a stranger').bytes })
  const signers = [...writer.objects].filter(([key]) => key.includes('/signers/'))
  return { writer, signers: signers.map(([, bytes]) => toBase64url(bytes)) }
}

/** The record of a backup as an order names it. */
const recordOf = (order: RestoreStart, bytes: Uint8Array): RestoreStart['record'] => ({
  ...order.record,
  size: bytes.length,
  sha256: toBase64url(sha256(bytes)),
})

describe('an order', () => {
  test('with another genesis than the one that this agent wrote is given up', async () => {
    expect(await given(() => ({ signers: stranger().signers }))).toBe('DAMAGED')
  })

  test('with the chain of another vault is given up, also where this one is not known', async () => {
    expect(await given(() => ({ signers: stranger().signers }), false)).toBe('DAMAGED')
  })

  test('with a whole vault of its making is given up for a record that its keys did not sign', async () => {
    const { writer, signers } = stranger()
    expect(await given(() => ({ signers, vault: writer.vault }), false)).toBe('DAMAGED')
  })

  test.each([[[]], [['AAAA']], [['AA A']]])('with %j for a chain is given up', async (signers) => {
    expect(['DAMAGED', 'PROTOCOL_VIOLATION']).toContain(await given(() => ({ signers })))
  })

  test('with the record of another backup of the same vault is given up', async () => {
    const why = await given((order) => {
      const other = place.writer.backup([file('/x', 'x')])
      return { ...plane.order(other), backup: order.backup, target: order.target }
    })
    expect(why).toBe('DAMAGED')
  })

  test('with a record that was changed is given up, whatever hash is said', async () => {
    const why = await given((order) => {
      const bytes = Uint8Array.from(place.writer.objects.get(backup.key)!)
      bytes[bytes.length - 5] = (bytes[bytes.length - 5] ?? 0) ^ 1
      place.writer.objects.set(backup.key, bytes)
      return { record: recordOf(order, bytes) }
    })
    expect(why).toBe('DAMAGED')
  })

  test('with another hash than that of the record is given up', async () => {
    const sha = Buffer.alloc(32, 3).toString('base64url')
    expect(await given((order) => ({ record: { ...order.record, sha256: sha } }))).toBe('DAMAGED')
  })

  test('with a record that is far too long is given up before it is read', async () => {
    const why = await given((order) => ({ record: { ...order.record, size: 2 ** 40 } }))
    expect(why).toBe('DAMAGED')
    expect(plane.gets).toEqual([])
  })

  test.each(['another key', 'another purpose'])(
    'with a record key sealed as %s is given up',
    async (how) => {
      const why = await given((order) => {
        const key = seeded('key').bytes(16)
        const purpose =
          how === 'another key' ? sealedFor.record(order.opening) : sealedFor.idKey(order.opening)
        return { record: { ...order.record, sealed_file_key: plane.seal(key, purpose) } }
      })
      expect(why).toBe('DAMAGED')
    },
  )

  test('with an id key sealed for something else is given up', async () => {
    const why = await given((order) => ({ sealed_id_key: order.record.sealed_file_key }))
    expect(why).toBe('DAMAGED')
  })

  test('with a wrong id key restores nothing, and says so of each file', async () => {
    await begin()
    const order = plane.order(backup, { target: place.target })
    const sealed = plane.seal(seeded('id key').bytes(32), sealedFor.idKey(order.opening))
    const { counts } = await plane.run({ ...order, sealed_id_key: sealed })
    expect(counts).toMatchObject({ files: 0, damaged: CONTENT.size, directories: 1 })
    expect(onlyRight()).toBe(0)
  })

  test('whose addresses are none of the web are given up, and nothing else is read', async () => {
    await begin()
    plane.tamper = (pack) => ({ ...pack, url: 'file:///etc/passwd' })
    const order = plane.order(backup, { target: place.target })
    await plane.run(order).catch(() => undefined)
    expect(plane.gets.every(({ key }) => key === backup.key)).toBe(true)
    expect(onlyRight()).toBe(0)
  })
})

describe('an answer about packs', () => {
  const tampered = async (
    tamper: (pack: OpenedPack, other: OpenedPack) => OpenedPack,
  ): Promise<void> => {
    await begin()
    let first: OpenedPack | null = null
    plane.tamper = (pack) => {
      if (!pack.key.includes('/packs/')) return pack
      first ??= pack
      return pack.no === first.no ? pack : tamper(pack, first)
    }
    const { counts } = await plane.run(plane.order(backup, { target: place.target }))
    const hit = backup.files.filter(({ content }) => content.some(([no]) => no !== first?.no))
    expect(hit.length).toBeGreaterThan(0)
    expect(counts).toMatchObject({ files: CONTENT.size - hit.length, damaged: hit.length })
    expect(onlyRight()).toBe(CONTENT.size - hit.length)
  }

  test('with headers of other packs costs the files in them, and never gives wrong content', async () => {
    await tampered((pack, other) => ({ ...pack, header: other.header }))
  })

  test('with addresses of other packs costs the files in them', async () => {
    await tampered((pack, other) => ({ ...pack, url: other.url }))
  })

  test('with keys of other packs costs the files in them', async () => {
    await tampered((pack, other) => ({ ...pack, sealed_file_key: other.sealed_file_key }))
  })

  test('with other packs all the way costs the files in them', async () => {
    await tampered((pack, other) => ({ ...other, no: pack.no }))
  })

  test.each([
    ['another order', (packs: OpenedPack[]): OpenedPack[] => packs.toReversed()],
    ['one missing', (packs: OpenedPack[]): OpenedPack[] => packs.slice(1)],
    ['one too many', (packs: OpenedPack[]): OpenedPack[] => [...packs, ...packs.slice(0, 1)]],
    ['other numbers', (packs: OpenedPack[]): OpenedPack[] => packs.map((p) => ({ ...p, no: 7e9 }))],
  ])('with %s ends the restore', async (_, tamperAll) => {
    await begin()
    plane.tamperAll = (packs) => (packs.length > 1 ? tamperAll(packs) : packs)
    const order = plane.order(backup, { target: place.target })
    await expect(plane.run(order)).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' })
    onlyRight()
  })

  test('that leads somewhere else by a redirect is not followed', async () => {
    await begin()
    plane.mood = (_, response, key) => {
      if (!key.includes('/packs/')) return false
      response.writeHead(302, { location: `/0/${key}` }).end()
      return true
    }
    const patience = { away: 1e9, refused: 20, silent: 1e9, idle: 1e9 }
    const order = plane.order(backup, { target: place.target })
    const { counts } = await plane.run(order, { patience, world: QUICK })
    expect(counts).toMatchObject({ files: 0, failed: CONTENT.size })
    expect(plane.gets.every(({ address }) => address > 0)).toBe(true)
  })
})

describe('a selection', () => {
  test.each([['relative'], ['/a/../../etc'], ['/a/.'], ['/a\0b'], ['']])(
    'of %j is given up',
    async (path) => {
      await begin()
      const order = plane.order(backup, { target: place.target }, [{ path }])
      await expect(plane.run(order)).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' })
    },
  )

  test('that ends before it should is given up: nothing is not everything', async () => {
    await begin()
    const order = plane.order(backup, { target: place.target }, [{ path: '/d' }])
    const page = { ...order, selection_pages: 2 }
    await expect(plane.run(page)).rejects.toMatchObject({ code: 'PROTOCOL_VIOLATION' })
    expect(existsSync(place.target)).toBe(false)
  })

  test('of more paths, or globs, than can be meant is given up', async () => {
    await begin()
    const many = Array.from({ length: 10_001 }, (_, i) => ({ path: `/d/${String(i)}` }))
    const globs = Array.from({ length: 1001 }, (_, i) => ({ glob: `/d/${String(i)}*` }))
    for (const wanted of [many, globs]) {
      const order = plane.order(backup, { target: place.target }, wanted)
      await expect(plane.run(order)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' })
    }
  })
})

describe('a target that somebody changes meanwhile', () => {
  test('into links to elsewhere, at every moment there is, leads nowhere else', async () => {
    await begin()
    mkdirSync(join(place.target, 'd'), { recursive: true })
    let swaps = 0
    /** The folder that is written into becomes a link, and back. */
    const swap = (): void => {
      const [dir, aside] = [join(place.target, 'd'), join(place.target, 'aside')]
      swaps += 1
      if (existsSync(aside)) {
        rmSync(dir)
        renameSync(aside, dir)
      } else {
        renameSync(dir, aside)
        symlinkSync(place.outside, dir)
      }
    }
    plane.mood = () => {
      swap()
      return false
    }
    const extractors = (idKey: Uint8Array, tag: string): ReturnType<typeof threads> =>
      threads(idKey, tag)
    const threads = (
      idKey: Uint8Array,
      tag: string,
    ): {
      width: number
      run: ReturnType<typeof createExtract>
      close: () => Promise<void>
    } => {
      const run = createExtract(idKey, `${tag}-0`)
      return {
        width: 2,
        run: async (job, again) => {
          swap()
          const result = await run(job, again)
          swap()
          return result
        },
        close: async () => Promise.resolve(),
      }
    }
    for (const conflict of ['overwrite', 'skip'] as const) {
      const order = plane.order(backup, { target: place.target, conflict })
      await plane.run(order, { extractors })
    }
    expect(swaps).toBeGreaterThan(10)
    expect(readdirSync(place.outside)).toEqual(['victim'])
  })
})
