/**
 * The only file that imports the schema library (decision 0002): a schema is plain JSON Schema, used to validate
 * at the edge, to type the value behind it, and to make the OpenAPI document.
 */
import { type Static, type TSchema, Type } from 'typebox'
import { Compile } from 'typebox/compile'

export { type Static, type TSchema, Type }

export type Parsed<T> = { readonly ok: T } | { readonly field: string; readonly problem: string }

/** Compiles `schema` once; the parser names the first field that is wrong, and never throws. */
export const parser = <S extends TSchema>(schema: S): ((value: unknown) => Parsed<Static<S>>) => {
  const compiled = Compile(schema)
  return (value) => {
    if (compiled.Check(value)) return { ok: value }
    const [first] = compiled.Errors(value)
    const field = first?.instancePath.slice(1).replaceAll('/', '.') ?? ''
    return { field: field === '' ? 'body' : field, problem: first?.message ?? 'is not valid' }
  }
}
