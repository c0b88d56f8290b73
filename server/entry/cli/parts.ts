/** Where the objects of a backup are that some of its files need, as the API's `parts` say it and the reader takes it. */
import { type Static, Type } from '#shared/schema.ts'
import { parseKey } from '#shared/format/layout.ts'
import type { Desk } from './desk.ts'

const Part = Type.Object({
  object: Type.String(),
  url: Type.String(),
  header: Type.Optional(Type.String()),
  size: Type.Optional(Type.Integer()),
  sealed_file_key: Type.Optional(Type.String()),
})

const Parts = Type.Object({
  opening: Type.Optional(Type.String()),
  sealed_id_key: Type.Optional(Type.String()),
  parts: Type.Array(Part),
  trees: Type.Array(Part),
  record: Part,
  secret: Type.Optional(Part),
  signers: Type.Array(Type.String()),
})

type Part = Static<typeof Part>
export type Parts = Static<typeof Parts>

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

/** A prefix of the storage stands before `vaults/` in the names that the API gives. */
const belowPrefix = (object: string): string => object.slice(Math.max(0, object.indexOf('vaults/')))

const handed = ({ object, url, header, size, sealed_file_key }: Part): Record<string, unknown> => {
  const key = belowPrefix(object)
  const parsed = parseKey(key)
  const no = parsed?.kind === 'pack' || parsed?.kind === 'tree' ? { no: parsed.no } : {}
  return {
    key,
    url,
    ...no,
    ...(size === undefined ? {} : { size }),
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
  ...(parts.opening === undefined ? {} : { opening: parts.opening }),
  ...(parts.sealed_id_key === undefined ? {} : { sealed_id_key: parts.sealed_id_key }),
})
