/** The holder of a customer's key opens packs for somebody: looks, decides, and answers the open request. */
import { setTimeout as sleep } from 'node:timers/promises'
import { OpenRequest, OpenRequestPack } from '#shared/api/open-requests.ts'
import { parseFile } from '#shared/api/file-ids.ts'
import { fail } from '#shared/errors.ts'
import { parseBase64url, toBase64url } from '#shared/format/bytes.ts'
import { boxPublicKey, showFingerprint, verifySignature } from '#shared/format/keys.ts'
import { openProof } from '#shared/protocol/restore-orders.ts'
import { openerFingerprint, packsSha256 } from '#shared/protocol/open-request.ts'
import { parser, type Static, Type } from '#shared/schema.ts'
import { formatBytes, formatCount, SECOND } from '#shared/units.ts'
import { listOf } from './api-client.ts'
import type { Desk } from './desk.ts'
import { askParts, handedObjects } from './parts.ts'
import { localTime, plain } from '#shared/table.ts'

type Pack = { readonly no: number; readonly header: string }

const PAGE = 1000
/** Sealed keys in one body of at most 1 MiB. */
const AT_ONCE = 8000

const packsOf = async ({ api, stop }: Desk, id: string): Promise<readonly Pack[]> => {
  const packs: Pack[] = []
  const schema = Type.Object({
    data: listOf(OpenRequestPack),
    meta: Type.Object({ next_cursor: Type.Union([Type.String(), Type.Null()]) }),
  })
  for (let cursor = ''; ;) {
    const path = `/v1/open-requests/${id}/packs?limit=${String(PAGE)}${cursor}`
    const { data, meta } = await api.answer(path, schema, stop)
    packs.push(...data.map(({ no, header }) => ({ no, header })))
    if (meta.next_cursor === null) return packs
    cursor = `&cursor=${encodeURIComponent(meta.next_cursor)}`
  }
}

const binary = (text: string, what: string): Uint8Array => {
  const bytes = parseBase64url(text)
  if (bytes === null) throw fail('DAMAGED', { what, problem: 'it is not base64url' })
  return bytes
}

/** That an agent asks, and which one, is believed only where it has signed this very request. */
const checkOpener = (request: OpenRequest, packs: readonly Pack[]): void => {
  const { opener } = request
  const sha256 = packsSha256(packs.map(({ no }) => no))
  if (sha256 !== request.packs_sha256)
    throw fail('DAMAGED', {
      what: 'The open request',
      problem: 'its packs are not the signed ones',
    })
  if (opener.type !== 'agent') {
    if (openerFingerprint(binary(opener.key, 'The key')) === opener.fingerprint) return
    throw fail('DAMAGED', { what: 'The open request', problem: 'the fingerprint is not its key’s' })
  }
  if (opener.signature === undefined || opener.signing_key === undefined)
    throw fail('INVALID_STATE', {
      resource: 'The agent that asks',
      status: 'not connected and has not signed yet',
    })
  const key = binary(opener.signing_key, 'The signing key')
  const proof = openProof(
    {
      request: request.id,
      purpose: request.purpose,
      backup: request.backup_id,
      packs_sha256: sha256,
      expires_at: Date.parse(request.expires_at),
    },
    opener.key,
  )
  const signed = verifySignature(key, proof, binary(opener.signature, 'The signature'))
  if (!signed || openerFingerprint(key) !== opener.fingerprint)
    throw fail('DAMAGED', { what: 'The open request', problem: 'its signature does not verify' })
}

/** Exact paths where all of them are known; else everything of the backup is what is looked at. */
const exactFiles = ({ files, file_count: count }: OpenRequest): readonly string[] => {
  const ids = files.flatMap(({ id }) => (id === null ? [] : [id]))
  return ids.length === count ? ids : []
}

const Approved = Type.Object({
  hostname: Type.String(),
  started: Type.Number(),
  files: Type.Number(),
  bytes: Type.Number(),
  sealed_file_keys: Type.Record(Type.String(), Type.String()),
  sealed_id_key: Type.String(),
})
const parseApproved = parser(Approved)
type Approved = Static<typeof Approved>

const describe = (request: OpenRequest, verified: Approved): readonly string[] => {
  const { opener, files, file_count: count } = request
  const exact = exactFiles(request)
  return [
    `${opener.name} (${opener.type}) asks to open packs for a ${request.purpose}.`,
    `  its fingerprint  ${showFingerprint(opener.fingerprint).slice(0, 39)}`,
    `                   ${showFingerprint(opener.fingerprint).slice(40)}`,
    `  backup           ${request.backup_id}, ${localTime(new Date(verified.started).toISOString())}, of ${verified.hostname}`,
    `  asked for        ${count === 0 ? 'everything' : `${formatCount(count)} paths`}`,
    ...files.slice(0, 10).map(({ path }) => `                   ${path}`),
    `  it opens         ${formatCount(request.pack_count)} packs, with all that lies in them;`,
    `                   ${exact.length > 0 ? 'they are needed for' : 'the backup has'} ${formatCount(verified.files)} files, ${formatBytes(verified.bytes)}`,
    `  until            ${localTime(request.expires_at)}`,
  ]
}

const send = async ({ api, stop }: Desk, id: string, approved: Approved): Promise<OpenRequest> => {
  const keys = Object.entries(approved.sealed_file_keys)
  for (let from = 0; ; from += AT_ONCE) {
    const some = keys.slice(from, from + AT_ONCE)
    const more = from + AT_ONCE < keys.length
    const body = {
      sealed_file_keys: Object.fromEntries(some),
      ...(more ? { more: true } : { sealed_id_key: approved.sealed_id_key }),
    }
    const answer = await api.post(`/v1/open-requests/${id}/approve`, body, OpenRequest, stop)
    if (!more) return answer
  }
}

const SIGNING = 30 * SECOND
const LOOK_EVERY = SECOND / 4

/** An agent that is connected signs within a moment; one that is not is waited for no longer than half a minute. */
const signedRequest = async ({ api, stop }: Desk, id: string): Promise<OpenRequest> => {
  const deadline = performance.now() + SIGNING
  const path = `/v1/open-requests/${encodeURIComponent(id)}`
  for (;;) {
    const request = await api.get(path, OpenRequest, stop)
    const { type, signature } = request.opener
    const waits = request.status === 'pending' && type === 'agent' && signature === undefined
    if (!waits || performance.now() > deadline) return request
    await sleep(LOOK_EVERY, undefined, { signal: stop })
  }
}

export type Approving = {
  readonly identities: readonly string[]
  /** Whether a person is asked before anything is opened. */
  readonly ask: boolean
}

/** Null where the person said no. Nothing is opened that the verified tree does not need for what is shown. */
export const approveRequest = async (
  desk: Desk,
  id: string,
  { identities, ask }: Approving,
): Promise<OpenRequest | null> => {
  const { screen, parts } = desk
  const request = await signedRequest(desk, id)
  const packs = await packsOf(desk, request.id)
  checkOpener(request, packs)
  const files = exactFiles(request)
  // The keys of this ask are never used: the identity opens what it gives.
  const openerKey = toBase64url(boxPublicKey(parts.random(32)))
  const found = await askParts(desk, request.backup_id, { files, openerKey })
  const { code, result } = await parts.reader(
    ['handed'],
    JSON.stringify({
      vault: request.vault_id,
      backup: request.backup_id,
      identities,
      json: false,
      ...handedObjects(found),
      action: {
        do: 'approve',
        request: request.id,
        paths: files.map((file) => toBase64url(Buffer.from(parseFile(file, 'files'), 'latin1'))),
        packs,
        opener_key: request.opener.key,
      },
    }),
  )
  if (code !== 0) throw fail('CANCELED')
  const approved = parseApproved(JSON.parse(result))
  if (!('ok' in approved)) throw fail('INTERNAL_AGENT', { problem: 'the reader gave no keys' })
  for (const line of describe(request, approved.ok)) screen.say(plain(line))
  if (ask && !/^y(es)?$/i.test(await parts.ask('Open them? [y/N] '))) return null
  return send(desk, request.id, approved.ok)
}
