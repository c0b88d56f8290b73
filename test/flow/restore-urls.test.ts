import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { openWorld } from '#agent/io/restore-world.ts'
import { parseKey } from '#shared/format/layout.ts'
import { eventsOf, type OpenRun, runOpen } from '../support/run-open.ts'
import { snapshot } from '../support/same-tree.ts'
import { seeded } from '../support/seeded.ts'
import { directory, file, type VaultPlace, vaultPlace } from '../support/vault-place.ts'

let place: VaultPlace
let server: Server | undefined
afterEach(async () => {
  place.remove()
  server?.closeAllConnections()
  await new Promise((resolve) => (server === undefined ? resolve(null) : server.close(resolve)))
  server = undefined
})

type Mood = (request: IncomingMessage, response: ServerResponse, bytes: Buffer) => boolean

/** Serves the vault's objects; `mood` may answer in its own way first. */
const serve = async (mood: Mood = () => false): Promise<string> => {
  server = createServer((request, response) => {
    const bytes = Buffer.from(place.writer.objects.get((request.url ?? '').slice(1)) ?? [])
    const [, from = '0', to = '0'] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    const end = Math.min(bytes.length, Number(to) + 1)
    const part = bytes.subarray(Number(from), end)
    if (mood(request, response, part)) return
    if (part.length === 0) return void response.writeHead(404).end()
    response.writeHead(206, { 'content-range': `bytes ${from}-${end - 1}/${bytes.length}` })
    response.end(part)
  })
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}/`
}

const restore = async (origin: string, keys: readonly string[]): Promise<OpenRun> => {
  const list = join(place.folder, 'urls')
  writeFileSync(list, `${keys.map((key) => `${origin}${key}`).join('\n')}\n\n`)
  const identity = ['--identity', join(place.folder, 'identity')]
  return runOpen(['--urls', list, ...identity, '--json', 'restore', place.target], {
    world: openWorld(),
  })
}

const write = (name: string): number => {
  place = vaultPlace(name, {
    packTarget: 60_000,
    frameTarget: 4000,
    chunk: 10_000,
    entriesPerSegment: 9,
  })
  const chance = seeded(name)
  const files = Array.from({ length: 60 }, (_, i) =>
    file(`/d/${i}`, chance.bytes(chance.below(30_000))),
  )
  place.writer.backup([directory('/d'), ...files])
  return files.length + 1
}

test('a vault is restored from URLs of its objects, by threads, with no list of the bucket', async () => {
  const entries = write('urls')
  const run = await restore(await serve(), [...place.writer.objects.keys()])
  expect(run.exit).toBe(0)
  expect(snapshot(place.target).size).toBe(entries)
})

test('every object that fails once, in any of three ways, is no damage', async () => {
  const entries = write('moody')
  const seen = new Set<string>()
  const origin = await serve((request, response, bytes) => {
    const url = request.url ?? ''
    if (seen.has(url)) return false
    seen.add(url)
    if (seen.size % 3 === 0) return (request.socket.destroy(), true)
    if (seen.size % 3 === 1) return (response.writeHead(503).end(), true)
    // The right length, and a wrong bit.
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1
    return false
  })
  const run = await restore(origin, [...place.writer.objects.keys()])
  expect(run.lines.filter(({ event }) => event === 'damaged' || event === 'lost')).toEqual([])
  expect(run.exit).toBe(0)
  expect(snapshot(place.target).size).toBe(entries)
})

test('objects without a URL, or refused, concern exactly the files in them', async () => {
  const entries = write('missing')
  const packs = [...place.writer.objects.keys()].filter((key) => parseKey(key)?.kind === 'pack')
  const [absent = '', forbidden = ''] = packs
  const origin = await serve((request, response) => {
    if (request.url !== `/${forbidden}`) return false
    response.writeHead(403).end()
    return true
  })
  const run = await restore(
    origin,
    [...place.writer.objects.keys()].filter((key) => key !== absent),
  )
  expect(run.exit).toBe(3)
  const told = [...eventsOf(run, 'damaged'), ...eventsOf(run, 'failed')]
  expect(new Set(told.map(({ code }) => code))).toEqual(
    new Set(['MISSING_OBJECT', 'STORAGE_UNAVAILABLE']),
  )
  expect(snapshot(place.target).size).toBe(entries - told.length)
})
