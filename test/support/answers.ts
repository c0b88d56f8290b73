/** Answers of the API, as tests look into them: of an app in the test's own process, or of a real one. */
export type Answer = {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: Readonly<Record<string, unknown>>
}

type Json = Readonly<Record<string, unknown>>

/** `data` of an answer with one object, and of a list. */
export const dataOf = (answer: Answer): Json => answer.body['data'] as Json
export const rowsOf = (answer: Answer): readonly Json[] => answer.body['data'] as readonly Json[]
export const metaOf = (answer: Answer): Json => answer.body['meta'] as Json
export const errorOf = (
  answer: Answer,
): { readonly code: string; readonly message: string; readonly details: Json } =>
  answer.body['error'] as ReturnType<typeof errorOf>
