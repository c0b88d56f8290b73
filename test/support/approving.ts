/** The holder of a customer's key, by hand: opens what an open request asks for, and seals it to the opener. */
import { systemRandom } from '#server/io/random.ts'
import type { OpenRequest, OpenRequestPack } from '#shared/api/open-requests.ts'
import { open as openAge, openHeader } from '#shared/format/age.ts'
import { toBase64url } from '#shared/format/bytes.ts'
import type { Identity } from '#shared/format/keys.ts'
import { decodeVaultSecret, deriveKeys } from '#shared/format/vault-secret.ts'
import { sealedFor } from '#shared/protocol/open-request.ts'
import { sealTo } from '#shared/seal.ts'
import { type Answer, dataOf, metaOf, rowsOf } from './answers.ts'
import type { TestApp } from './http-app.ts'

export type Approval = {
  readonly sealed_file_keys: Record<string, string>
  readonly sealed_id_key: string
}

export const requestOf = async (api: Pick<TestApp, 'call'>, id: string): Promise<OpenRequest> =>
  dataOf(await api.call('GET', `/v1/open-requests/${id}`)) as unknown as OpenRequest

export const packsOf = async (
  api: Pick<TestApp, 'call'>,
  id: string,
  limit = 1000,
): Promise<readonly OpenRequestPack[]> => {
  const all: OpenRequestPack[] = []
  for (let cursor: string | null = '0'; cursor !== null;) {
    const url: string = `/v1/open-requests/${id}/packs?limit=${limit}&cursor=${cursor}`
    const answer = await api.call('GET', url)
    all.push(...(rowsOf(answer) as unknown as OpenRequestPack[]))
    cursor = metaOf(answer)['next_cursor'] as string | null
  }
  return all
}

const idKeyOf = async (request: OpenRequest, identity: Identity): Promise<Uint8Array> => {
  const [secret] = request.evidence!.secrets
  const bytes = new Uint8Array(await (await fetch(secret!.url)).arrayBuffer())
  return deriveKeys(decodeVaultSecret(openAge(bytes, [identity]), request.vault_id)).idKey
}

/** What is to be sent to approve it. */
export const approvalOf = async (
  api: Pick<TestApp, 'call'>,
  id: string,
  identity: Identity,
): Promise<Approval> => {
  const request = await requestOf(api, id)
  const opener = Buffer.from(request.opener.key, 'base64url')
  const seal = (plaintext: Uint8Array, purpose: string): string =>
    toBase64url(sealTo(opener, plaintext, { ephemeral: systemRandom(32), purpose }))
  const keys = (await packsOf(api, id)).map(({ no, header }): [string, string] => {
    const fileKey = openHeader(Buffer.from(header, 'base64url'), [identity])
    return [String(no), seal(fileKey, sealedFor.object(id, no))]
  })
  return {
    sealed_file_keys: Object.fromEntries(keys),
    sealed_id_key: seal(await idKeyOf(request, identity), sealedFor.idKey(id)),
  }
}

export const approve = async (
  api: Pick<TestApp, 'call'>,
  id: string,
  body: object,
): Promise<Answer> => api.call('POST', `/v1/open-requests/${id}/approve`, { body })
