import { readdirSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import type { RestoreRunParts } from '#agent/flow/restore-run.ts'
import { restoreWorld } from '#agent/io/restore-world.ts'
import { eventLoopTurn, systemClock, systemRandom } from '#agent/io/world.ts'
import { fail } from '#shared/errors.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import { HOUR } from '#shared/units.ts'
import { QUICK } from '../../support/agent-linked.ts'
import { seeded } from '../../support/seeded.ts'
import type { RestorePlane } from '../../support/restore-plane.ts'
import { halfMade, sixtyFiles } from '../../support/restore-scene.ts'
import type { VaultPlace } from '../../support/vault-place.ts'
import type { WrittenBackup } from '../../support/vault-writer.ts'

let place: VaultPlace
let plane: RestorePlane
let backup: WrittenBackup
afterEach(async () => {
  expect(place.outsideChanges()).toEqual([])
  expect(JSON.stringify(plane.told)).not.toContain('secret')
  await plane.close()
  place.remove()
})

const begin = async (): Promise<void> => {
  ;({ place, plane, backup } = await sixtyFiles())
}

/** An hour in less than a second. */
const IMPATIENT: Partial<RestoreRunParts> = {
  world: { ...QUICK, turn: eventLoopTurn, random: systemRandom },
  patience: { away: 700, refused: 150, silent: HOUR, idle: HOUR },
}
/** The same waits, and all the time there is. */
const QUICKLY: Partial<RestoreRunParts> = {
  world: { ...QUICK, turn: eventLoopTurn, random: systemRandom },
}

const isPack = (key: string): boolean => key.includes('/packs/')
const left = (): string[] => halfMade(place.target)

describe('the store', () => {
  test('that refuses addresses which have run out gets new ones, here and in threads', async () => {
    await begin()
    let seen = 0
    plane.mood = () => {
      seen += 1
      if (seen % 3 === 0) plane.oldest = Number.MAX_SAFE_INTEGER
      return false
    }
    // Whatever is handed out from now on is good again.
    plane.tamper = (pack) => {
      plane.oldest = Number(/\/(\d+)\//.exec(pack.url)?.[1] ?? '0')
      return pack
    }
    const { extractors } = restoreWorld(2)
    const order = plane.order(backup, { target: place.target })
    const tally = await plane.run(order, { ...QUICKLY, extractors })
    expect(tally.counts).toMatchObject({ files: 60, failed: 0, damaged: 0, lost: 0 })
    const asked = plane.asked.flatMap(({ type, body }) =>
      type === 'packs.request' ? (body as Reports['packs.request']).packs : [],
    )
    expect(new Set(asked).size).toBeLessThan(asked.length)
  })

  test('that has moved is found where newly signed addresses lead, here and in threads', async () => {
    await begin()
    let seen = 0
    let moved = 0
    // Nobody answers any more where the addresses of before lead: that is no refusal.
    plane.mood = (request) => {
      seen += 1
      if (seen % 4 === 0) moved = Number.MAX_SAFE_INTEGER
      if (Number(/^\/(\d+)\//.exec(request.url ?? '')?.[1]) >= moved) return false
      request.socket.destroy()
      return true
    }
    plane.tamper = (pack) => {
      moved = Number(/\/(\d+)\//.exec(pack.url)?.[1] ?? '0')
      return pack
    }
    const { extractors } = restoreWorld(2)
    const how = {
      ...QUICKLY,
      extractors,
      patience: { away: 8000, refused: 8000, silent: HOUR, idle: HOUR },
    }
    const tally = await plane.run(plane.order(backup, { target: place.target }), how)
    expect(tally.counts).toMatchObject({ files: 60, failed: 0, damaged: 0, lost: 0 })
  })

  test('is not asked with an address that is about to run out', async () => {
    await begin()
    plane.life = 90_000
    let now = 0
    const world = {
      ...QUICK,
      clock: { ...QUICK.clock, monotonic: () => now },
      turn: eventLoopTurn,
    }
    let packs = 0
    plane.mood = (_, __, key) => {
      if (isPack(key)) packs += 1
      // Half of the time of an address passes with each read of content.
      if (isPack(key)) now += 45_000
      return false
    }
    const tally = await plane.run(plane.order(backup, { target: place.target }), { world })
    expect(tally.counts.files).toBe(60)
    const addresses = plane.gets.filter(({ key }) => isPack(key)).map(({ address }) => address)
    expect(packs).toBeGreaterThan(3)
    expect(new Set(addresses).size).toBe(addresses.length)
  })

  test('that fails at a third of all requests, in four ways, delays a restore and nothing else', async () => {
    await begin()
    const chance = seeded('faults')
    plane.mood = (request, response) => {
      if (!chance.chance(0.33)) return false
      const act = [
        () => void response.writeHead(503).end(),
        () => void response.writeHead(429).end(),
        () => request.socket.destroy(),
        () => {
          const range = request.headers.range?.replace('=', ' ') ?? ''
          response.writeHead(206, { 'content-range': `${range}/*`, 'content-length': '99999' })
          response.write('torn', () => request.socket.destroy())
        },
      ]
      chance.pick(act)()
      return true
    }
    const tally = await plane.run(plane.order(backup, { target: place.target }), QUICKLY)
    expect(tally.counts).toMatchObject({ files: 60, failed: 0, damaged: 0, lost: 0 })
    expect(tally.bytesFetched).toBeGreaterThan(
      plane.gets.reduce((sum, { bytes }) => sum + bytes, 0) / 2,
    )
  })

  test('that is away for good ends the restore with its words, and what stands is complete', async () => {
    await begin()
    let packs = 0
    plane.mood = (_, response, key) => {
      packs += isPack(key) ? 1 : 0
      if (packs < 3) return false
      response.writeHead(503).end()
      return true
    }
    const order = plane.order(backup, { target: place.target })
    await expect(plane.run(order, IMPATIENT)).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      details: { problem: 'it answers 503' },
    })
    expect(left()).toEqual([])
    expect(plane.lines().at(-1)).toMatch(/Given up: .*503/)
    expect(plane.lines().join()).toMatch(/Trying again/)
    const files = readdirSync(`${place.target}/d`)
    expect(files.length).toBeGreaterThan(0)
    expect(files.length).toBeLessThan(60)
  })

  test.each(['the record', 'the tree', 'everything'])(
    'that refuses %s for good ends the restore soon',
    async (what) => {
      await begin()
      plane.mood = (_, response, key) => {
        const kind = key.includes('/backups/') ? 'the record' : 'the tree'
        if (what !== 'everything' && (kind !== what || isPack(key))) return false
        response.writeHead(403).end()
        return true
      }
      const order = plane.order(backup, { target: place.target })
      await expect(plane.run(order, IMPATIENT)).rejects.toMatchObject({
        code: 'STORAGE_UNAVAILABLE',
        details: { problem: 'it answers 403' },
      })
    },
  )

  test('that refuses one object for good costs exactly the files in it', async () => {
    await begin()
    const [bad] = [...place.writer.store.placed.values()].filter(({ kind }) => kind === 'pack')
    const hit = backup.files.filter(({ content }) => content.some(([no]) => no === bad?.pack))
    plane.mood = (_, response, key) => {
      if (key !== bad?.key) return false
      response.writeHead(403).end()
      return true
    }
    const { counts } = await plane.run(plane.order(backup, { target: place.target }), {
      ...IMPATIENT,
      patience: { away: HOUR, refused: 150, silent: HOUR, idle: HOUR },
    })
    expect(hit.length).toBeGreaterThan(0)
    expect(counts).toMatchObject({ files: 60 - hit.length, failed: hit.length })
    expect(plane.notes().every(({ code }) => code === 'STORAGE_UNAVAILABLE')).toBe(true)
  })

  test('that has lost an object costs exactly the files in it', async () => {
    await begin()
    const [bad] = [...place.writer.store.placed.values()].filter(({ kind }) => kind === 'pack')
    const hit = backup.files.filter(({ content }) => content.some(([no]) => no === bad?.pack))
    plane.mood = (_, response, key) => {
      if (key !== bad?.key) return false
      response.writeHead(404).end()
      return true
    }
    const { counts } = await plane.run(plane.order(backup, { target: place.target }), QUICKLY)
    expect(counts).toMatchObject({ files: 60 - hit.length, damaged: hit.length })
    expect(plane.notes().every(({ code }) => code === 'MISSING_OBJECT')).toBe(true)
  })
})

describe('the control plane', () => {
  test('that does not know some of the packs costs the files in them', async () => {
    await begin()
    const packs = [...place.writer.store.placed.values()].filter(({ kind }) => kind === 'pack')
    const bad = new Set(packs.slice(1, 3).map(({ pack }) => pack))
    const hit = backup.files.filter(({ content }) => content.some(([no]) => bad.has(no)))
    plane.tamper = (pack) => {
      if (bad.has(pack.no)) throw fail('MISSING_OBJECT', { key: pack.key })
      return pack
    }
    const { counts } = await plane.run(plane.order(backup, { target: place.target }))
    expect(counts).toMatchObject({ files: 60 - hit.length, damaged: hit.length })
  })

  test('that may not open the content ends the restore', async () => {
    await begin()
    plane.tamper = (pack) => {
      if (isPack(pack.key)) throw fail('KEY_REQUIRED', { problem: 'nobody has approved it' })
      return pack
    }
    const order = plane.order(backup, { target: place.target })
    await expect(plane.run(order)).rejects.toMatchObject({ code: 'KEY_REQUIRED' })
    expect(plane.notes()).toEqual([])
  })

  test('hears of the progress at most once a second, and of the end in the counts', async () => {
    await begin()
    const sleeps: number[] = []
    const clock = {
      ...systemClock,
      sleep: async (span: number, stop: AbortSignal) => {
        sleeps.push(span)
        await systemClock.sleep(span / 100, stop)
      },
    }
    const world = { ...QUICK, clock, turn: eventLoopTurn }
    const tally = await plane.run(plane.order(backup, { target: place.target }), { world })
    const told = plane.told.filter(({ type }) => type === 'restore.progress')
    expect(told.length).toBeLessThanOrEqual(sleeps.filter((span) => span === 1000).length)
    expect(told[0]?.body).toMatchObject({ phase: 'checking', files_total: 0 })
    expect(tally.phase).toBe('finishing')
  })
})
