/** Objects of one vault behind URLs that were handed over with what is known of them; small ones may come as bytes. */
import { fail } from '#shared/errors.ts'
import { readRange, sizeOfUrl } from './object-source-read.ts'
import type { HandedPlace, ObjectSource } from '../core/restore-ports.ts'

export const handedSource = (vault: string, places: readonly HandedPlace[]): ObjectSource => {
  const byKey = new Map(places.map(({ key, at }) => [key, at]))
  const keys = [...byKey.keys()].sort()
  const placeOf = (key: string): HandedPlace['at'] => {
    const place = byKey.get(key)
    if (place === undefined) throw fail('MISSING_OBJECT', { key })
    return place
  }
  return {
    vaults: async () => Promise.resolve([vault]),
    list: async (prefix) => Promise.resolve(keys.filter((key) => key.startsWith(prefix))),
    size: async (key) => {
      const place = byKey.get(key)
      if (place === undefined) return null
      return 'bytes' in place ? place.bytes.length : (place.size ?? sizeOfUrl(place.url, key))
    },
    read: async (key, start, end) => {
      const place = placeOf(key)
      if ('url' in place) return readRange({ url: place.url }, { start, end }, key)
      return place.bytes.subarray(start, end)
    },
    whereabouts: (key) => {
      const place = byKey.get(key)
      return place === undefined || !('url' in place) ? null : { url: place.url }
    },
  }
}
