/** A line of a log as text, for a file. Pure. */
import type { LogLine } from '#shared/api/events.ts'

const escapes = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

/** Nothing that a file name says may begin a line of its own, or speak to a terminal. */
const plain = (text: string): string =>
  text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, escapes)

const word = (value: unknown): string =>
  typeof value === 'string' && /^[\w./:-]+$/.test(value) ? value : plain(JSON.stringify(value))

/** `2026-11-21T08:00:00.000Z WARN  message path=/etc/x`, and a line feed. */
export const showLine = ({ at, level, message, fields }: LogLine): string => {
  const about = Object.entries(fields).map(([name, value]) => ` ${name}=${word(value)}`)
  return `${at} ${level.toUpperCase().padEnd(5)} ${plain(message)}${about.join('')}\n`
}
