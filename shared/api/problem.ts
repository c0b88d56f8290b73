/** The body of every error (API.md, "Errors"). The codes are those of shared/errors.ts. */
import { type Static, Type } from '../schema.ts'

export const Problem = Type.Object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    details: Type.Record(Type.String(), Type.Unknown()),
  }),
  request_id: Type.String(),
})
export type Problem = Static<typeof Problem>
