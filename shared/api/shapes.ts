/** Shapes that every resource shares: one schema validates, types and documents (API.md, "Conventions"). */
import { type Static, type TSchema, Type } from '../schema.ts'

const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'

/** What the texts of these patterns are, for the person whose text does not match. */
export const PATTERN_WORDS: ReadonlyMap<string, string> = new Map([
  [UUID, 'is not an id (a UUID)'],
  ['\\S', 'must not be blank'],
  ['^/[^\\x00]*$', 'must be an absolute path'],
  ['^f_', 'is not the id of a file'],
  ['^(/|f_)', 'is neither a file id nor an absolute path'],
])

/** Any UUID is a well-formed id: one that is not ours is 404, not 400. Ours are UUIDv7. */
export const id = Type.String({
  pattern: UUID,
  description: 'UUIDv7',
  examples: ['0192b1c4-7d3e-7a51-9c46-5f0e8a2b6c11'],
})
export const name = Type.String({ minLength: 1, maxLength: 200, pattern: '\\S' })
export const time = Type.String({
  description: 'ISO 8601, UTC',
  examples: ['2026-11-21T08:00:00.000Z'],
})
/** A time that a client gives; see times.ts. */
export const when = Type.String({
  minLength: 10,
  maxLength: 40,
  description: 'ISO 8601',
  examples: ['2027-01-01T00:00:00Z'],
})
export const bytes = Type.Integer({ minimum: 0, description: 'bytes' })
export const count = Type.Integer({ minimum: 0 })
/** A token, a recipient or any other text without line breaks that is shown and stored as it is. */
export const line = (maxLength: number): Type.TString =>
  Type.String({ minLength: 1, maxLength, pattern: '^[^\\x00-\\x1f\\x7f]+$' })
export const nullable = <S extends TSchema>(schema: S): Type.TUnion<[S, Type.TNull]> =>
  Type.Union([schema, Type.Null()])
export const oneOf = <const V extends readonly string[]>(...values: V): Type.TUnsafe<V[number]> =>
  Type.Unsafe<V[number]>({ type: 'string', enum: [...values] })

/** A request body: a field that is not here is refused by name. */
export const body = <P extends Type.TProperties>(properties: P): Type.TObject<P> =>
  Type.Object(properties, { additionalProperties: false })

/** ISO 8601 (`P7D`, `PT15M`) or short (`90s`, `15m`, `12h`, `1d`, `4w`), or whole seconds; see durations.ts. */
export const duration = Type.Union([
  Type.String({
    minLength: 2,
    maxLength: 32,
    description: 'ISO 8601 or short: `P7D`, `12h`',
    examples: ['12h'],
  }),
  Type.Integer({ minimum: 1, description: 'seconds' }),
])

export const one = <S extends TSchema>(data: S): Type.TObject<{ data: S }> => Type.Object({ data })

/** 204: nothing is left to show. */
export const gone = Type.Null({ description: 'no content' })

export const ListMeta = Type.Object({
  request_id: Type.String(),
  total: count,
  total_is_lower_bound: Type.Optional(Type.Boolean()),
  limit: count,
  offset: count,
  next_cursor: nullable(Type.String()),
})

export const many = <S extends TSchema>(
  item: S,
): Type.TObject<{ data: Type.TArray<S>; meta: typeof ListMeta }> =>
  Type.Object({ data: Type.Array(item), meta: ListMeta })

/** A filter of a list by a text. */
export const filterText = (description: string): Type.TOptional<Type.TString> =>
  Type.Optional(Type.String({ maxLength: 200, description }))

const pageSize = Type.Integer({
  minimum: 1,
  maximum: 100,
  description: 'rows of a page; 50 if left out. `size` and `page_size` are the same',
  examples: [50],
})

const paging = {
  limit: Type.Optional(pageSize),
  size: Type.Optional(pageSize),
  page_size: Type.Optional(pageSize),
  offset: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 1_000_000,
      description: 'rows to pass over; better: `cursor`',
    }),
  ),
  cursor: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 1000,
      description: '`next_cursor` of the page before, in the same order; not with `offset`',
    }),
  ),
}

/** A field, or the same turned. */
type Order<F extends string> = F | `-${F}`

const ordering = <const F extends string>(fields: readonly F[]) => ({
  sort: Type.Optional(
    Type.Unsafe<Order<F>>({
      ...oneOf(...fields.flatMap((field): Order<F>[] => [field, `-${field}`])),
      description:
        'ascending by a field; with `-` before it descending. The newest first if left out',
    }),
  ),
  sort_by: Type.Optional(
    Type.Unsafe<F>({
      ...oneOf(...fields),
      description: 'the same in two parameters: a field, in the direction of `sort_order`',
    }),
  ),
  sort_order: Type.Optional(
    Type.Unsafe<'asc' | 'desc'>({
      ...oneOf('asc', 'desc'),
      description: '`desc` if left out',
    }),
  ),
})

/** What a list takes: its filters, a page, and an order by one of `sortable`. */
export const listQuery = <P extends Type.TProperties, const F extends string>(
  filters: P,
  sortable: readonly F[],
): Type.TObject<P & typeof paging & ReturnType<typeof ordering<F>>> =>
  Type.Object({ ...filters, ...paging, ...ordering(sortable) }, { additionalProperties: false })

export type Paging = Static<Type.TObject<typeof paging & ReturnType<typeof ordering<string>>>>

export const IdParams = Type.Object({ id })
