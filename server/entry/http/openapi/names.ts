/** What an operation is called, from its method and path; a route may say otherwise. */

const wordsOf = (url: string): readonly string[] =>
  url.split('/').filter((part) => part !== '' && part !== 'v1')

const isPlace = (part: string): boolean => part.startsWith('{')

const singular = (word: string): string =>
  word.endsWith('ies') ? `${word.slice(0, -3)}y` : word.replace(/(?<=[a-z]{2})s$/, '')

const capital = (word: string): string => word.slice(0, 1).toUpperCase() + word.slice(1)

const camel = (words: readonly string[]): string =>
  words
    .flatMap((word) => word.split(/[-.]/))
    .map((word, n) => (n === 0 ? word : capital(word)))
    .join('')

const VERBS: Readonly<Record<string, string>> = {
  GET: 'get',
  PATCH: 'change',
  PUT: 'set',
  DELETE: 'delete',
}

/** `GET /v1/jobs/{id}/backups` is `listJobBackups`, `POST /v1/jobs/{id}/pause` is `pauseJob`. */
export const operationId = (method: string, url: string, isList: boolean): string => {
  const parts = wordsOf(url)
  const nouns = parts.filter((part) => !isPlace(part))
  const last = nouns.at(-1) ?? ''
  const above = nouns.slice(0, -1).map(singular)
  const isOne = isPlace(parts.at(-1) ?? '')
  if (method === 'POST')
    return last === singular(last)
      ? camel([last, ...above])
      : camel(['create', ...above, singular(last)])
  const verb = isList ? 'list' : (VERBS[method] ?? method.toLowerCase())
  return camel([verb, ...above, isOne ? singular(last) : last])
}

/** The group that it is shown in: the resource, or what is no part of version 1. */
export const tagOf = (url: string): string => {
  if (!url.startsWith('/v1/')) return 'Service'
  const [resource = ''] = wordsOf(url)
  return capital(resource === 'me' ? 'tokens' : resource.replaceAll('-', ' '))
}
