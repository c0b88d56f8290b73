/** Grants as a recorder saw them given, with the bytes that were put under each. */
import type { Grant } from '#shared/protocol/orders.ts'
import type { Orders } from '#shared/protocol/orders.ts'
import type { Reports, Wanted } from '#shared/protocol/reports.ts'
import type { Ms } from '#shared/units.ts'
import type { Recorder } from './recorder.ts'

export type UsedGrant = {
  readonly wanted: Wanted
  readonly grant: Grant
  readonly body: Buffer
}

type Recorded = { readonly plane: Recorder; readonly storage: Recorder }

/** Every grant, in the order in which they were given; what was never put has no body and is left out. */
export const usedGrants = ({ plane, storage }: Recorded): UsedGrant[] => {
  const wanted = new Map<string, readonly Wanted[]>()
  const bodies = new Map(
    storage.exchanges
      .filter(({ method, status }) => method === 'PUT' && status === 200)
      .map(({ path, body }) => [path, body]),
  )
  const used: UsedGrant[] = []
  for (const { text } of plane.messages) {
    const message = JSON.parse(text) as Reports['grants.request'] | Orders['grants.given']
    if (message.type === 'grants.request') wanted.set(message.id, message.objects)
    if (message.type !== 'grants.given') continue
    const objects = wanted.get(message.re ?? '') ?? []
    for (const [place, grant] of message.grants.entries()) {
      const body = bodies.get(new URL(grant.url).pathname)
      const object = objects[place]
      if (object !== undefined && body !== undefined) used.push({ wanted: object, grant, body })
    }
  }
  return used
}

/** When it was signed, by the store's clock. */
export const signedAt = ({ grant }: UsedGrant): Ms => {
  const [, y, mo, d, h, mi, s] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(grant.headers['x-amz-date'] ?? '') ?? []
  return Date.parse(`${y!}-${mo!}-${d!}T${h!}:${mi!}:${s!}Z`)
}
