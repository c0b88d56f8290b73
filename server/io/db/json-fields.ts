/** What runs wrote as JSON, read tolerantly: a missing number is 0, a missing text empty. */
import type { Reason } from '#shared/api/backups.ts'

export const fieldOf = (from: unknown, name: string): unknown =>
  typeof from === 'object' && from !== null
    ? Object.entries(from).find(([k]) => k === name)?.[1]
    : null

export const countOf = (from: unknown, name: string): number => {
  const value = fieldOf(from, name)
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0
}

export const textOf = (from: unknown, name: string): string => {
  const value = fieldOf(from, name)
  return typeof value === 'string' ? value : ''
}

export const reasonOf = (from: unknown): Reason | null => {
  const code = fieldOf(from, 'code')
  const message = fieldOf(from, 'message')
  return typeof code === 'string' && typeof message === 'string' ? { code, message } : null
}
