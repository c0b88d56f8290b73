import { refuse } from './refusal.ts'

/** Decodes one percent-encoded piece; anything that is not valid UTF-8 is `InvalidURI`. */
export const decodePiece = (piece: string): string => {
  try {
    return decodeURIComponent(piece)
  } catch {
    throw refuse('InvalidURI')
  }
}

/** The UriEncode of the SigV4 specification: every byte except the unreserved characters. */
export const encodePiece = (piece: string): string =>
  encodeURIComponent(piece).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  )

export const encodePath = (path: string): string => path.split('/').map(encodePiece).join('/')

/** A query as it was sent, decoded, in its order; names are case-sensitive and may repeat. */
export type Query = readonly (readonly [name: string, value: string])[]

export const parseQuery = (text: string): Query =>
  text === ''
    ? []
    : text
        .split('&')
        .filter((pair) => pair !== '')
        .map((pair) => {
          const at = pair.indexOf('=')
          const spaced = (piece: string): string => decodePiece(piece.replaceAll('+', ' '))
          return at < 0
            ? ([spaced(pair), ''] as const)
            : ([spaced(pair.slice(0, at)), spaced(pair.slice(at + 1))] as const)
        })

/** The canonical query string of SigV4, without the parameter `but`. */
export const canonicalQuery = (query: Query, but: string): string =>
  query
    .filter(([name]) => name !== but)
    .map(([name, value]) => [encodePiece(name), encodePiece(value)] as const)
    .toSorted(([a, x], [b, y]) => (a === b ? compare(x, y) : compare(a, b)))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
