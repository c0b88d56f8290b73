/** Where the objects of a backup are that some of its files need, as the API's `parts` say it and the reader takes it. */
import { Parts, type Part, type StoredPart } from '#shared/api/downloads.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { Desk } from './desk.ts'

/** Long enough for the slowest line; the URLs open nothing without a key. */
const LIFE_SECONDS = 12 * 3600

/** `files`: ids or paths; none is everything. */
export const askParts = async (
  { api, stop }: Desk,
  backup: string,
  { files, openerKey }: { readonly files: readonly string[]; readonly openerKey: string },
): Promise<Parts> =>
  api.post(
    `/v1/backups/${backup}/download`,
    {
      format: 'parts',
      opener_key: openerKey,
      expires_in: LIFE_SECONDS,
      ...(files.length === 0 ? {} : { files }),
    },
    Parts,
    stop,
  )

const handed = ({
  object: key,
  url,
  header,
  size,
  sealed_file_key,
}: StoredPart | Part): Record<string, unknown> => {
  const parsed = parseKey(key)
  const no = parsed?.kind === 'pack' || parsed?.kind === 'tree' ? { no: parsed.no } : {}
  return {
    key,
    url,
    size,
    ...no,
    ...(header === undefined ? {} : { header }),
    ...(sealed_file_key === undefined ? {} : { sealed_file_key }),
  }
}

/** What the reader is told of the objects (agent/core/handed.ts). */
export const handedObjects = (parts: Parts): Record<string, unknown> => ({
  signers: parts.signers,
  objects: [
    handed(parts.record),
    ...(parts.secret === undefined ? [] : [handed(parts.secret)]),
    ...parts.trees.map(handed),
    ...parts.parts.map(handed),
  ],
  opening: parts.opening,
  ...(parts.sealed_id_key === undefined ? {} : { sealed_id_key: parts.sealed_id_key }),
})
