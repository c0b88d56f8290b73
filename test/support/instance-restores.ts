/** Restores by the API of a whole instance, with the approval of whoever holds a customer's key. */
import type { OpenRequestPack } from '#shared/api/open-requests.ts'
import type { Restore } from '#shared/api/restores.ts'
import type { Identity } from '#shared/format/keys.ts'
import { approvalOf, approve, packsOf, requestOf } from './approving.ts'
import type { Instance } from './instance.ts'
import { eventually } from './wait.ts'

type Wish = {
  readonly backup: string
  /** Onto this server, below this folder. */
  readonly server: string
  readonly target: string
}

const dataOf = (answer: Readonly<Record<string, unknown>>): Restore => answer['data'] as Restore

export const startRestore = async (instance: Instance, wish: Wish): Promise<Restore> =>
  dataOf(
    await instance.call('POST', `/v1/backups/${wish.backup}/restore`, {
      compute: { type: 'agent', server_id: wish.server },
      target_path: wish.target,
    }),
  )

export const restoreOf = async (instance: Instance, id: string): Promise<Restore> =>
  dataOf(await instance.call('GET', `/v1/restores/${id}`))

export const endOfRestore = async (instance: Instance, id: string): Promise<Restore> =>
  eventually(`the end of restore ${id}`, async () => {
    const restore = await restoreOf(instance, id)
    return ['pending', 'running'].includes(restore.status) ? null : restore
  })

const apiOf = (instance: Instance): Parameters<typeof approve>[0] => ({
  call: async (method, url, options = {}) => ({
    status: 200,
    headers: {},
    body: await instance.call(method === 'GET' ? 'GET' : 'POST', url, options.body),
  }),
})

/** Opens what the request asks for, once the agent has signed that it asks; the packs are those that were opened. */
export const approveOpening = async (
  instance: Instance,
  request: string,
  identity: Identity,
): Promise<readonly OpenRequestPack[]> => {
  const api = apiOf(instance)
  await eventually('the signature of the agent', async () => {
    const { opener } = await requestOf(api, request)
    return opener.signature === undefined ? null : opener
  })
  await approve(api, request, await approvalOf(api, request, identity))
  return packsOf(api, request)
}
