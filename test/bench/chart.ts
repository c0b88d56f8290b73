/** Panels of bars or lines as one SVG: legible on light and dark, every word escaped, nothing fetched. */

type Series = { readonly name: string; readonly values: readonly (number | null)[] }

/** `x` and `y` name what is shown and its unit; a value of `null` was not measured. */
type Common = {
  readonly title: string
  readonly x: string
  readonly y: string
  readonly series: readonly Series[]
}
export type Panel =
  | (Common & { readonly kind: 'bars'; readonly groups: readonly string[] })
  /** `at`: ascending, one for each value; `log`: by powers of ten, so above zero. */
  | (Common & { readonly kind: 'lines'; readonly at: readonly number[]; readonly log: boolean })

const WIDTH = 760
const PLOT = { left: 80, right: 20, top: 58, height: 200, bottom: 56 }
const PANEL = PLOT.top + PLOT.height + PLOT.bottom
const INNER = WIDTH - PLOT.left - PLOT.right
const TICKS = 5
const COLOURS = 6
const LETTER = 7 // width of a letter of the legend, about

const STYLE = `
.page { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, sans-serif }
.title { font-size: 15px; font-weight: 600 } .head { font-weight: 600 } .small { font-size: 11px }
.grid { stroke: #d0d7de } .axis { stroke: #59636e }
.f0 { fill: #0969da } .f1 { fill: #bc4c00 } .f2 { fill: #1a7f37 }
.f3 { fill: #8250df } .f4 { fill: #9a6700 } .f5 { fill: #bf3989 }
.l0 { stroke: #0969da } .l1 { stroke: #bc4c00 } .l2 { stroke: #1a7f37 }
.l3 { stroke: #8250df } .l4 { stroke: #9a6700 } .l5 { stroke: #bf3989 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117 } text { fill: #e6edf3 } .grid { stroke: #30363d } .axis { stroke: #9198a1 }
.f0 { fill: #58a6ff } .f1 { fill: #ffa657 } .f2 { fill: #56d364 }
.f3 { fill: #bc8cff } .f4 { fill: #e3b341 } .f5 { fill: #f778ba }
.l0 { stroke: #58a6ff } .l1 { stroke: #ffa657 } .l2 { stroke: #56d364 }
.l3 { stroke: #bc8cff } .l4 { stroke: #e3b341 } .l5 { stroke: #f778ba }
}
`

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
}

/** Characters that no XML may hold, escaped or not, are left out. */
const escape = (text: string): string =>
  text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '')
    .replace(/[&<>"']/g, (letter) => ESCAPES[letter] ?? '')

type Attributes = Readonly<Record<string, string | number>>

const open = (name: string, attributes: Attributes): string =>
  [
    `<${name}`,
    ...Object.entries(attributes).map(
      ([key, value]) =>
        `${key}="${typeof value === 'number' ? String(Math.round(value * 10) / 10) : escape(value)}"`,
    ),
  ].join(' ')

const element = (name: string, attributes: Attributes, inside = ''): string =>
  `${open(name, attributes)}>${inside}</${name}>`

const words = (text: string, attributes: Attributes): string =>
  element('text', attributes, escape(text))

/** The step of the axis: 1, 2 or 5 times a power of ten, so that `TICKS` of them reach the largest value. */
const stepFor = (largest: number): number => {
  if (!(largest > 0)) return 1
  const rough = largest / TICKS
  const power = 10 ** Math.floor(Math.log10(rough))
  return ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power
}

const show = (value: number): string =>
  value.toLocaleString('en', { maximumSignificantDigits: 3, useGrouping: true })

type Scale = { readonly ticks: readonly number[]; readonly y: (value: number) => number }

const scaleOf = (series: readonly Series[]): Scale => {
  const values = series.flatMap(({ values: own }) => own.filter((value) => value !== null))
  const step = stepFor(Math.max(0, ...values))
  const top = step * TICKS
  return {
    ticks: Array.from({ length: TICKS + 1 }, (_, n) => n * step),
    y: (value) => PLOT.top + PLOT.height * (1 - value / top),
  }
}

const frame = ({ title, x, y, series }: Panel, scale: Scale): string[] => {
  const right = WIDTH - PLOT.right
  const bottom = PLOT.top + PLOT.height
  const middle = PLOT.top + PLOT.height / 2
  let at = PLOT.left
  const legend = series.flatMap(({ name }, index) => {
    const from = at
    at += 28 + LETTER * name.length
    return [
      element('rect', { class: `f${index % COLOURS}`, x: from, y: 34, width: 10, height: 10 }),
      words(name, { x: from + 14, y: 43 }),
    ]
  })
  const turned = `rotate(-90 16 ${middle})`
  return [
    words(title, { class: 'head', x: PLOT.left, y: 20 }),
    ...legend,
    ...scale.ticks.flatMap((tick) => [
      element('line', {
        class: tick === 0 ? 'axis' : 'grid',
        ...{ x1: PLOT.left, x2: right, y1: scale.y(tick), y2: scale.y(tick) },
      }),
      words(show(tick), { x: PLOT.left - 8, y: scale.y(tick) + 4, 'text-anchor': 'end' }),
    ]),
    words(x, { x: PLOT.left + INNER / 2, y: bottom + 40, 'text-anchor': 'middle' }),
    words(y, { x: 16, y: middle, 'text-anchor': 'middle', transform: turned }),
  ]
}

const under = (text: string, x: number): string =>
  words(text, { x, y: PLOT.top + PLOT.height + 18, 'text-anchor': 'middle' })

const bars = (panel: Extract<Panel, { kind: 'bars' }>, { y }: Scale): string[] => {
  const room = INNER / Math.max(1, panel.groups.length)
  const width = (room * 0.8) / Math.max(1, panel.series.length)
  return panel.groups.flatMap((group, n) => {
    const from = PLOT.left + room * (n + 0.1)
    const drawn = panel.series.flatMap(({ name, values }, index) => {
      const value = values[n] ?? null
      if (value === null) return []
      const box = { x: from + width * index, y: y(value), width, height: y(0) - y(value) }
      const title = element('title', {}, escape(`${name}, ${group}: ${show(value)}`))
      return [element('rect', { class: `f${index % COLOURS}`, ...box }, title)]
    })
    return [...drawn, under(group, PLOT.left + room * (n + 0.5))]
  })
}

/** Not so many that they would run into each other. */
const MOST_LABELS = 10

const lines = (panel: Extract<Panel, { kind: 'lines' }>, { y }: Scale): string[] => {
  const { at, log, series } = panel
  const place = (value: number): number => (log ? Math.log10(value) : value)
  const first = place(at[0] ?? 1)
  const span = place(at.at(-1) ?? 1) - first
  const x = (value: number): number =>
    PLOT.left + 20 + (INNER - 40) * (span === 0 ? 0.5 : (place(value) - first) / span)
  const each = Math.ceil(at.length / MOST_LABELS)
  const labels = at.filter((_, n) => n % each === 0 || n === at.length - 1)
  const drawn = series.flatMap(({ name, values }, index) => {
    const points = at.flatMap((value, n) => {
      const measured = values[n] ?? null
      return measured === null ? [] : [{ value, measured, x: x(value), y: y(measured) }]
    })
    const path = points.map((point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`).join(' ')
    return [
      element('polyline', { class: `line l${index % COLOURS}`, points: path }),
      ...points.map((point) =>
        element(
          'circle',
          { class: `f${index % COLOURS}`, cx: point.x, cy: point.y, r: 3 },
          element('title', {}, escape(`${name}, ${show(point.value)}: ${show(point.measured)}`)),
        ),
      ),
    ]
  })
  return [...drawn, ...labels.map((value) => under(show(value), x(value)))]
}

const HEADER = 40
const LINE = 16

export const svgOf = (
  title: string,
  panels: readonly Panel[],
  footer: readonly string[],
): string => {
  const foot = HEADER + PANEL * panels.length
  const height = foot + LINE * (footer.length + 1)
  const size = { width: WIDTH, height, viewBox: `0 0 ${WIDTH} ${height}` }
  const drawn = panels.map((panel, index) => {
    const scale = scaleOf(panel.series)
    const shapes = panel.kind === 'bars' ? bars(panel, scale) : lines(panel, scale)
    const inside = [...frame(panel, scale), ...shapes].join('\n')
    return element('g', { transform: `translate(0 ${HEADER + PANEL * index})` }, inside)
  })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `${open('svg', { xmlns: 'http://www.w3.org/2000/svg', role: 'img', ...size })}>`,
    element('title', {}, escape(title)),
    element('style', {}, STYLE),
    element('rect', { class: 'page', width: WIDTH, height }),
    words(title, { class: 'title', x: 20, y: 26 }),
    ...drawn,
    ...footer.map((line, n) => words(line, { class: 'small', x: 20, y: foot + LINE * (n + 1) })),
    '</svg>',
    '',
  ].join('\n')
}
