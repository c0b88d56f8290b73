import { describe, expect, test } from 'vitest'
import { childrenOf, type Element, parseXml } from '#server/io/embedded/s3/parse-xml.ts'
import { type Panel, svgOf } from '../../bench/chart.ts'

const HOSTILE = `a < b && "c" > 'd' ]]> \u0000\ud800`

const bars: Panel = {
  kind: 'bars',
  title: HOSTILE,
  x: 'step',
  y: HOSTILE,
  groups: ['first', HOSTILE],
  series: [
    { name: HOSTILE, values: [1, 2] },
    { name: 'other', values: [null, 3] },
  ],
}

const lines: Panel = {
  kind: 'lines',
  title: 'growth',
  x: 'files',
  y: 'seconds',
  log: true,
  at: [10, 1000],
  series: [{ name: 'one', values: [0, 400] }],
}

/** The attributes of each tag, which the parser of bodies does not look at. */
const attributesOf = (svg: string): string[] =>
  [...svg.matchAll(/<[a-z]+((?:\s+[\w:-]+="[^"<]*")*)\s*\/?>/g)].map(([, found]) => found ?? '')

const deep = (element: Element): Element[] => [element, ...element.children.flatMap(deep)]

const numbers = (svg: string, name: string): number[] =>
  [...svg.matchAll(new RegExp(` ${name}="([^"]*)"`, 'g'))].map(([, value]) => Number(value))

describe('a chart', () => {
  const svg = svgOf(HOSTILE, [bars, lines], [HOSTILE])

  test('is well-formed XML, whatever the words are', () => {
    const root = parseXml(svg)
    expect(root.name).toBe('svg')
    expect(childrenOf(root, 'g')).toHaveLength(2)
    // Each tag of it is one that the pattern knows in full: name, then quoted attributes, then its end.
    const tags = svg.match(/<[a-z]/g) ?? []
    expect(attributesOf(svg)).toHaveLength(tags.length)
    expect(svg).not.toMatch(/&(?!(?:amp|lt|gt|quot|apos);)/)
    expect(svg).not.toContain('\u0000')
  })

  test('has its title, both axes with their units, and a legend', () => {
    const root = parseXml(svgOf('costs', [lines], ['2 cores']))
    const words = deep(root)
      .filter(({ name }) => name === 'text')
      .map(({ text }) => text)
    for (const wanted of ['costs', 'growth', 'files', 'seconds', 'one', '2 cores'])
      expect(words).toContain(wanted)
  })

  test('draws what was measured, and nothing where nothing was', () => {
    expect(parseXml(svgOf('t', [bars], [])).children.flatMap(deep)).toSatisfy(
      // Two legends, the page, and three bars.
      (all: Element[]) => all.filter(({ name }) => name === 'rect').length === 2 + 1 + 3,
    )
  })

  test('stays inside its page, also for nothing, zero and tiny values', () => {
    for (const values of [[], [0, 0], [1e-9, 2e-9], [5e12, 1]]) {
      const drawn = svgOf('t', [{ ...lines, series: [{ name: 'one', values }] }], [])
      expect(drawn).not.toContain('NaN')
      expect(drawn).not.toContain('Infinity')
      const [height = 0] = numbers(drawn, 'height')
      for (const y of [...numbers(drawn, 'y'), ...numbers(drawn, 'cy')]) {
        expect(y).toBeGreaterThanOrEqual(0)
        expect(y).toBeLessThanOrEqual(height)
      }
    }
  })

  test('is legible on light and dark', () => {
    expect(svg).toContain('@media (prefers-color-scheme: dark)')
    expect(svg).toContain('class="page"')
  })
})
