/** Why a task failed, as it is kept: with the details, so that whoever waits for it gets the very failure. */
import { type Details, fail, Failure, isErrorCode } from '#shared/errors.ts'
import { fieldOf, textOf } from '../json-fields.ts'
import type { JsonObject } from '../schema-columns.ts'

export const reasonFor = ({ code, message, details }: Failure): JsonObject => ({
  code,
  message,
  details: { ...details },
})

type Detail = Details[string]

const isDetail = (value: unknown): value is Detail =>
  value === null ||
  ['string', 'number', 'boolean'].includes(typeof value) ||
  (Array.isArray(value) && value.every((one) => typeof one === 'string'))

const detailsIn = (from: unknown): Details =>
  typeof from !== 'object' || from === null
    ? {}
    : Object.fromEntries(
        Object.entries(from).filter((pair): pair is [string, Detail] => isDetail(pair[1])),
      )

export const failureIn = (error: unknown): Failure => {
  const code = textOf(error, 'code')
  return isErrorCode(code)
    ? new Failure(code, detailsIn(fieldOf(error, 'details')))
    : fail('INTERNAL')
}
