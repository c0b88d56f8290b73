import type { ColumnType, Generated } from 'kysely'

export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }
export type JsonObject = { readonly [name: string]: Json }

export type Time = ColumnType<Date, Date, Date>
export type DefaultTime = ColumnType<Date, Date | undefined, Date>
export type Bytes = ColumnType<Uint8Array, Uint8Array, Uint8Array>
export type Default<T> = Generated<T>

/** Who did something, as it is shown later. */
export type Actor = {
  readonly name: string
  readonly user_id?: string
  readonly token_id?: string
  readonly server_id?: string
}
