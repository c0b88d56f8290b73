/** A control plane that restores are ordered from, a store on loopback, and an agent's end of both; a real vault. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { RestoreTally } from '#agent/core/restore-tally.ts'
import { newRestoreTally } from '#agent/core/restore-tally.ts'
import { PATIENCE } from '#agent/core/patience.ts'
import { type RestoreRunParts, runRestore } from '#agent/flow/restore-run.ts'
import { readOnce } from '#agent/io/object-source-read.ts'
import { createExtract } from '#agent/io/restore-extract.ts'
import { openPlace } from '#agent/io/restore-place.ts'
import { eventLoopTurn, systemClock } from '#agent/io/world.ts'
import type { RestoreAnswers, RestoreLink } from '#agent/ports/restore-link.ts'
import { openHeader, preambleLength } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import { boxPublicKey, sha256 } from '#shared/format/keys.ts'
import { sealedFor } from '#shared/protocol/open-request.ts'
import type { Orders } from '#shared/protocol/orders.ts'
import type { Reports } from '#shared/protocol/reports.ts'
import type { OpenedPack, RestoreStart } from '#shared/protocol/restore-orders.ts'
import type { NotedFile } from '#shared/protocol/restore-reports.ts'
import { sealTo } from '#shared/seal.ts'
import { HOUR } from '#shared/units.ts'
import { anId } from './agent-control-plane.ts'
import { seeded } from './seeded.ts'
import type { VaultWriter, WrittenBackup } from './vault-writer.ts'

/** May answer a GET in its own way; `key` is the object's. */
export type Mood = (request: IncomingMessage, response: ServerResponse, key: string) => boolean

export type Told = { readonly type: string; readonly body: object }

export type RestorePlane = {
  /** Every GET, in order: key, range, and the number of the address that it used. */
  readonly gets: { key: string; bytes: number; address: number }[]
  readonly asked: { type: string; body: object }[]
  readonly told: Told[]
  mood: Mood
  /** How long an address lives, as it says and as the store has it. */
  life: number
  /** Addresses below this number are refused by the store. */
  oldest: number
  /** Changes what is answered about a pack, or throws the answer. */
  tamper: (pack: OpenedPack) => OpenedPack
  /** Changes what is answered about all packs of a request. */
  tamperAll: (packs: OpenedPack[]) => OpenedPack[]
  order(
    backup: WrittenBackup,
    over?: Partial<RestoreStart>,
    wanted?: readonly Wanted[],
  ): RestoreStart
  run(
    order: RestoreStart,
    how?: Partial<RestoreRunParts> & { stop?: AbortSignal },
  ): Promise<RestoreTally>
  /** The agent's own files. */
  readonly files: Map<string, Uint8Array>
  /** Seals to the agent, as a control plane does. */
  readonly seal: (key: Uint8Array, purpose: string) => string
  readonly notes: () => NotedFile[]
  readonly lines: () => string[]
  close(): Promise<void>
}

export type Wanted = { readonly path: string } | { readonly glob: string }

/** Paths, and what has a star or question mark as globs. */
export const ask = (...wanted: readonly string[]): readonly Wanted[] =>
  wanted.map((text) => (/[*?]/.test(text) ? { glob: text } : { path: text }))

const BOX = Buffer.alloc(32, 9)

type Page = Orders['selection.given']['wanted']

const wantedOf = (one: Wanted): Page[number] =>
  'path' in one
    ? { raw: Buffer.from(one.path).toString('base64url'), glob: false }
    : { raw: Buffer.from(one.glob).toString('base64url'), glob: true }

/** Selections are handed out so many at a time. */
const PAGE = 3

export const startRestorePlane = async (writer: VaultWriter): Promise<RestorePlane> => {
  const chance = seeded('restore plane')
  const opening = anId()
  let issued = 0
  let pages: Page[] = []
  const addressOf = (key: string): string => `${origin}/${String((issued += 1))}/${key}?sign=secret`
  const seal = (key: Uint8Array, purpose: string): string =>
    toBase64url(sealTo(boxPublicKey(BOX), key, { ephemeral: chance.bytes(32), purpose }))
  const fileKey = (key: string): Uint8Array => {
    const bytes = writer.objects.get(key) ?? new Uint8Array()
    return openHeader(bytes, [writer.identity, writer.list])
  }
  const server: Server = createServer((request, response) => {
    const [, number = '', key = ''] = /^\/(\d+)\/([^?]*)/.exec(request.url ?? '') ?? []
    const bytes = Buffer.from(writer.objects.get(key) ?? [])
    const [, from = '0', to = '0'] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    const part = bytes.subarray(Number(from), Number(to) + 1)
    plane.gets.push({ key, bytes: part.length, address: Number(number) })
    if (Number(number) < plane.oldest) return void response.writeHead(403).end()
    if (plane.mood(request, response, key)) return
    if (part.length === 0) return void response.writeHead(404).end()
    const range = `bytes ${from}-${String(Number(from) + part.length - 1)}/${String(bytes.length)}`
    response.writeHead(206, { 'content-range': range })
    response.end(part)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`

  const opened = (no: number): OpenedPack => {
    const object = writer.store.placed.get(no)
    if (object === undefined) throw new Error(`no pack ${no}`)
    const { key, size } = object
    const bytes = writer.objects.get(key) ?? new Uint8Array()
    return {
      no,
      key,
      size,
      url: addressOf(key),
      expires_at: Date.now() + plane.life,
      header: toBase64url(bytes.subarray(0, preambleLength(bytes))),
      sealed_file_key: seal(fileKey(key), sealedFor.object(opening, no)),
    }
  }
  const answer = (type: keyof RestoreAnswers, body: object): object => {
    if (type === 'selection.request')
      return {
        type: 'selection.given',
        wanted: pages[(body as Reports['selection.request']).page] ?? [],
      }
    if (type === 'packs.request') {
      const { packs } = body as Reports['packs.request']
      const answers = packs.map((no) => plane.tamper(opened(no)))
      return { type: 'packs.opened', packs: plane.tamperAll(answers) }
    }
    return { type: 'restore.settled' }
  }
  const link: RestoreLink = {
    request: async <T extends keyof RestoreAnswers>(type: T, body: object, stop: AbortSignal) => {
      await Promise.resolve()
      stop.throwIfAborted()
      plane.asked.push({ type, body })
      return { id: anId(), run: anId(), ...answer(type, body) } as unknown as RestoreAnswers[T]
    },
    tell: (type, body) => void plane.told.push({ type, body }),
  }
  const extractorsOf: RestoreRunParts['extractors'] = (idKey, tag) => {
    const stop = new AbortController()
    return {
      width: 2,
      run: createExtract(idKey, `${tag}-0`, stop.signal),
      close: async () => {
        stop.abort()
        return Promise.resolve()
      },
    }
  }
  const plane: RestorePlane = {
    gets: [],
    asked: [],
    told: [],
    files: new Map(),
    seal,
    mood: () => false,
    life: HOUR,
    oldest: 0,
    tamper: (pack) => pack,
    tamperAll: (packs) => packs,
    order: (backup, over = {}, wanted = []) => {
      const signers = [...writer.objects.keys()].filter((key) => key.includes('/signers/')).sort()
      const record = writer.objects.get(backup.key) ?? new Uint8Array()
      pages = Array.from({ length: Math.ceil(wanted.length / PAGE) }, (_, i) =>
        wanted.slice(i * PAGE, (i + 1) * PAGE).map(wantedOf),
      )
      return {
        type: 'restore.start',
        id: anId(),
        run: anId(),
        epoch: 1,
        lease_seconds: 60,
        backup: backup.backup,
        backup_name: 'a backup',
        job_name: 'a job',
        vault: writer.vault,
        signers: signers.map((key) => toBase64url(writer.objects.get(key) ?? new Uint8Array())),
        record: {
          key: backup.key,
          size: record.length,
          sha256: toBase64url(sha256(record)),
          url: addressOf(backup.key),
          expires_at: Date.now() + plane.life,
          sealed_file_key: seal(fileKey(backup.key), sealedFor.record(opening)),
        },
        opening,
        sealed_id_key: seal(writer.idKey, sealedFor.idKey(opening)),
        selection_pages: pages.length,
        target: '',
        conflict: 'overwrite',
        ...over,
      }
    },
    run: async (order, { stop = new AbortController().signal, ...how } = {}) => {
      const tally = newRestoreTally()
      const parts: RestoreRunParts = {
        world: {
          clock: systemClock,
          random: chance.bytes,
          turn: eventLoopTurn,
          log: {
            debug: () => undefined,
            info: () => undefined,
            warn: () => undefined,
            error: () => undefined,
          },
        },
        state: stateOf(plane.files),
        patience: PATIENCE,
        readOnce,
        place: openPlace,
        extractors: extractorsOf,
        boxSecret: BOX,
        genesisOf: () => writer.fingerprint,
        barred: () => null,
        ...how,
      }
      const turn = async (): Promise<void> => Promise.resolve()
      await runRestore(parts, { order: () => order, link, tally, turn }, stop)
      return tally
    },
    notes: () =>
      plane.told
        .filter(({ type }) => type === 'restore.noted')
        .flatMap(({ body }) => (body as Reports['restore.noted']).files),
    lines: () =>
      plane.told
        .filter(({ type }) => type === 'log')
        .map(({ body }) => (body as Reports['log']).message),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return plane
}

const unused = (): never => {
  throw new Error('a restore does not use this')
}

const stateOf = (files: Map<string, Uint8Array>): RestoreRunParts['state'] => ({
  read: (path) => files.get(path) ?? null,
  replace: (path, bytes) => void files.set(path, bytes),
  remove: unused,
  rename: unused,
  list: unused,
  appendLines: unused,
  records: unused,
  blocks: unused,
  newBlocks: unused,
  blockLog: unused,
})

/** The error that a restore was given up with. */
export const failureOf = async (running: Promise<unknown>): Promise<string> => {
  try {
    await running
    return 'nothing'
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
}
