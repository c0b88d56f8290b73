import { expect, test } from 'vitest'
import { type LogSettings, makeLog } from '#server/io/log.ts'
import type { Log } from '#shared/world.ts'

const token = `hf_${'a'.repeat(43)}`

const logTo = (settings: LogSettings = {}, isTTY = false): { log: Log; text: () => string } => {
  const written: string[] = []
  const output = { isTTY, write: (text: string) => written.push(text) }
  return { log: makeLog({ output, colour: false, ...settings }), text: () => written.join('') }
}

test('a line is one JSON object with time, level, message and fields', () => {
  const { log, text } = logTo({ base: { part: 'http' } })
  log.warn({ backup: 'b1', size: 3, ok: true, none: null }, 'slow')
  const line: unknown = JSON.parse(text())
  expect(line).toMatchObject({
    level: 'warn',
    msg: 'slow',
    part: 'http',
    backup: 'b1',
    size: 3,
    ok: true,
    none: null,
  })
  expect(line).toHaveProperty('time', expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/))
  expect(text().endsWith('\n')).toBe(true)
})

test('on a terminal it is one readable line', () => {
  const { log, text } = logTo({}, true)
  log.info({ path: '/a b', size: 3 }, 'read it')
  expect(text()).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}read it {2}path="\/a b" size=3\n$/)
})

test('levels below the wanted one are not written', () => {
  const { log, text } = logTo({ level: 'warn' })
  log.debug({}, 'no')
  log.info({}, 'no')
  log.error({}, 'yes')
  expect(text()).toContain('yes')
  expect(text()).not.toContain('no"')
})

test('secrets are redacted by name and by form, in fields and messages, in both shapes', () => {
  for (const isTTY of [false, true]) {
    const { log, text } = logTo({}, isTTY)
    log.info(
      {
        password: 'pw-1',
        secret_access_key: 'pw-2',
        masterKey: 'pw-3',
        authorization: 'pw-4',
        url: 'postgres://user:pw-5@host/db',
        signed: 'https://h/b?X-Amz-Signature=abcdef0123456789&X-Amz-Credential=pw-6',
        said: `Bearer ${token}`,
        token_id: 'kept-1',
        key_count: 2,
        path: '/kept-2',
      },
      `got ${token} and AGE-SECRET-KEY-1QQQQQQ`,
    )
    expect(text()).not.toMatch(/pw-\d|aaaaaaaa|abcdef0123|1QQQ/)
    expect(text()).toContain('kept-1')
    expect(text()).toContain('/kept-2')
  }
})

test('what others named cannot move the cursor of the terminal or forge a line', () => {
  const { log, text } = logTo({}, true)
  log.info({ path: '\u001b[2J\n12:00:00 INFO forged' }, 'a\u001b[31m\nb\u0085c')
  expect(text().split('\n')).toHaveLength(2)
  // Only the line's own end is a control character.
  expect(text().slice(0, -1)).not.toMatch(/\p{Cc}/u)
})
