import type { Log, LogFields } from '#shared/world.ts'
import { pino, stdTimeFunctions } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export type LogOutput = { write(text: string): unknown; readonly isTTY?: boolean }

export type LogSettings = {
  readonly level?: LogLevel
  /** Default: standard error. */
  readonly output?: LogOutput
  /** Default: where the output is a terminal and NO_COLOR is not set. */
  readonly colour?: boolean
  /** Fields of every line. */
  readonly base?: LogFields
}

// Names of fields that hold secrets; `token_id` and the like only name one.
const SECRET_NAME =
  /(secret|password|passwd|token|authorization|credential|master_?key|identity|private_?key|cookie)/i
const NAMES_ONE = /_(id|name|count)$/i

// What gives a secret away wherever it stands: our tokens, age identities, passwords in URLs, S3 signatures.
const SECRET_TEXT: readonly (readonly [RegExp, string])[] = [
  [/\bhf_[A-Za-z0-9_-]{43}/g, 'hf_[redacted]'],
  [/AGE-SECRET-KEY-1[0-9A-Z]+/gi, 'AGE-SECRET-KEY-[redacted]'],
  [/(\w:\/\/[^\s:/@]*):[^\s/@]+@/g, '$1:[redacted]@'],
  [/\b(X-Amz-(?:Signature|Credential|Security-Token))=[^&\s"]+/gi, '$1=[redacted]'],
  [/\b(Signature|Bearer)([= ])[A-Za-z0-9_+/=-]{16,}/g, '$1$2[redacted]'],
]

/** `text` without the secrets that can be recognised by their form. */
export const redactText = (text: string): string =>
  SECRET_TEXT.reduce((clean, [form, instead]) => clean.replace(form, instead), text)

const redactField = (name: string, value: LogFields[string]): LogFields[string] => {
  if (typeof value !== 'string') return value
  return SECRET_NAME.test(name) && !NAMES_ONE.test(name) ? '[redacted]' : redactText(value)
}

const redact = (fields: LogFields): LogFields =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, redactField(name, value)]),
  )

const COLOURS = { debug: '90', info: '36', warn: '33', error: '31' } as const

// Control characters of others never reach the terminal as they are.
const CONTROL = /\p{Cc}/gu
const WORD = /^[^\s"=\p{Cc}]+$/u

const showValue = (value: unknown): string => {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return WORD.test(text) ? text : JSON.stringify(text)
}

const parseLine = (line: string): Readonly<Record<string, unknown>> => {
  const value: unknown = JSON.parse(line)
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

const isLevel = (text: unknown): text is LogLevel => typeof text === 'string' && text in COLOURS

/** One JSON line of pino as one line for a person: `12:03:04.567 INFO  message  field=value`. */
export const prettyLine = (line: string, colour: boolean): string => {
  const { level, time, msg, ...fields } = parseLine(line)
  const known = isLevel(level) ? level : 'info'
  const paint = (code: string, text: string): string =>
    colour ? `\u001b[${code}m${text}\u001b[0m` : text
  const at = String(time).slice(11, 23)
  const said = String(msg).replace(CONTROL, ' ')
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${showValue(value)}`)
  const label = paint(COLOURS[known], known.toUpperCase().padEnd(5))
  return `${at} ${label} ${said}${rest.length === 0 ? '' : paint('90', ` ${rest.join('')}`)}\n`
}

const standardError = (): LogOutput => {
  // Whoever reads it may go away; that must not end the process.
  process.stderr.on('error', () => undefined)
  return process.stderr
}

/**
 * The log of this process: JSON lines, or single readable lines where the output is a terminal. Fields whose name says
 * that they hold a secret, and texts that look like one, are redacted; that is the last net, not a licence.
 */
export const makeLog = (settings: LogSettings = {}): Log => {
  const output = settings.output ?? standardError()
  const colour = settings.colour ?? (output.isTTY === true && process.env['NO_COLOR'] === undefined)
  const write = (line: string): void => {
    output.write(output.isTTY === true ? prettyLine(line, colour) : line)
  }
  const inner = pino(
    {
      level: settings.level ?? 'info',
      base: redact(settings.base ?? {}),
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  )
  return {
    debug: (fields, message) => inner.debug(redact(fields), redactText(message)),
    info: (fields, message) => inner.info(redact(fields), redactText(message)),
    warn: (fields, message) => inner.warn(redact(fields), redactText(message)),
    error: (fields, message) => inner.error(redact(fields), redactText(message)),
  }
}
