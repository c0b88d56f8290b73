import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { CLOSE_CODES } from '#shared/protocol/session.ts'
import { GREETINGS, INTRODUCTIONS } from '#shared/protocol/hello.ts'
import { ORDERS } from '#shared/protocol/orders.ts'
import { REPORTS } from '#shared/protocol/reports.ts'

const page = readFileSync(new URL('../../shared/protocol/PROTOCOL.md', import.meta.url), 'utf8')

test('every message has a heading in PROTOCOL.md that says since when, and every heading is a message', () => {
  const types = [GREETINGS, INTRODUCTIONS, ORDERS, REPORTS].flatMap((family) => Object.keys(family))
  const sections = page.split(/^### /m).slice(1)
  const headings = sections.map((section) => section.split('\n')[0])
  expect([...headings].sort()).toEqual([...types].sort())
  for (const section of sections) expect(section.split(/^## /m)[0]).toMatch(/Since \d+\.\s*$/)
})

test('every close code but that of a lost connection is in PROTOCOL.md', () => {
  for (const [name, code] of Object.entries(CLOSE_CODES))
    if (name !== 'lost') expect(page).toContain(String(code))
})
