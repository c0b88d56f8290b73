/** Vaults behind URLs of single objects, presigned as a rule: what has no URL is not there. */
import { fail } from '#shared/errors.ts'
import { isId } from '#shared/ids.ts'
import type { ObjectSource } from '../core/restore-ports.ts'
import { readRange, sizeOfUrl } from './object-source-read.ts'

/** The key in the path of a URL: all from the last `vaults/` that a vault's id follows. */
export const keyOfUrl = (url: string): string => {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw fail('WRONG_USE', { problem: 'a source is neither a folder nor an http(s) URL' })
  }
  // Some signers write the slashes of a key as %2F.
  const parts = decode(parsed.pathname).split('/')
  const at = parts.findLastIndex((part, i) => part === 'vaults' && isId(parts[i + 1] ?? ''))
  if (at < 0) throw fail('NOT_A_VAULT', { where: parsed.origin + parsed.pathname })
  return parts.slice(at).join('/')
}

const decode = (path: string): string => {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

/** Each URL must lead to one object; two for the same object are refused (`WRONG_USE`), as they may differ. */
export const urlSource = (urls: readonly string[]): ObjectSource => {
  const byKey = new Map<string, string>()
  for (const url of urls) {
    const key = keyOfUrl(url)
    if (byKey.has(key)) throw fail('WRONG_USE', { problem: `there are two URLs for ${key}` })
    byKey.set(key, url)
  }
  const keys = [...byKey.keys()].sort()
  const urlOf = (key: string): string => {
    const url = byKey.get(key)
    if (url === undefined) throw fail('MISSING_OBJECT', { key })
    return url
  }
  return {
    vaults: async () => Promise.resolve([...new Set(keys.map((key) => key.split('/')[1] ?? ''))]),
    list: async (prefix) => Promise.resolve(keys.filter((key) => key.startsWith(prefix))),
    size: async (key) => (byKey.has(key) ? sizeOfUrl(urlOf(key), key) : null),
    read: async (key, start, end) => readRange({ url: urlOf(key) }, { start, end }, key),
    whereabouts: (key) => {
      const url = byKey.get(key)
      return url === undefined ? null : { url }
    },
  }
}
