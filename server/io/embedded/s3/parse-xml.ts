import { refuse } from './refusal.ts'

/** One element of a request body; `text` is its own character data, its children's left out. */
export type Element = {
  readonly name: string
  readonly text: string
  readonly children: readonly Element[]
}

type Open = { name: string; text: string; children: Element[] }

const MAX_DEPTH = 16
const MAX_ELEMENTS = 50_000
const ENTITIES: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  amp: '&',
  quot: '"',
  apos: "'",
}

const codePoint = (digits: string, base: number): string => {
  const value = Number.parseInt(digits, base)
  if (!(value > 0 && value <= 0x10ffff) || (value >= 0xd800 && value <= 0xdfff)) {
    throw refuse('MalformedXML')
  }
  return String.fromCodePoint(value)
}

/** Only the five predefined entities and character references: a body can define none of its own. */
const unescape = (text: string): string =>
  text.replace(/&([^;&]{0,16});?/g, (_, name: string) => {
    const reference = /^#(?:x([0-9a-f]{1,6})|(\d{1,7}))$/i.exec(name)
    if (reference !== null) {
      const [, hex, decimal] = reference
      return hex === undefined ? codePoint(decimal ?? '', 10) : codePoint(hex, 16)
    }
    const known = ENTITIES[name]
    if (known === undefined) throw refuse('MalformedXML')
    return known
  })

const TOKEN =
  /<\?[^>]{0,1000}\?>|<!--[\s\S]{0,10000}?-->|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([A-Za-z_][\w:.-]{0,127})((?:\s[^<>]{0,2000})?\/?)>|([^<]+)|[\s\S]/g

const localName = (name: string): string => name.slice(name.indexOf(':') + 1)

/**
 * Reads a small XML body into a tree, name-space prefixes dropped. Document types, entities of the body's own, more than
 * 16 levels or 50,000 elements are `MalformedXML`. The size must have been capped before.
 */
export const parseXml = (body: string): Element => {
  const root: Open = { name: '', text: '', children: [] }
  const stack: Open[] = [root]
  let count = 0
  for (const [token, cdata, slash, name, attributes, text] of body
    .replace(/^\ufeff/, '')
    .matchAll(TOKEN)) {
    const top = stack.at(-1)
    if (top === undefined) throw refuse('MalformedXML')
    if (text !== undefined) top.text += unescape(text)
    else if (cdata !== undefined) top.text += cdata
    else if (name !== undefined) {
      count += 1
      step(stack, {
        name: localName(name),
        closes: slash === '/',
        empty: attributes?.endsWith('/') === true,
      })
    } else if (!token.startsWith('<?') && !token.startsWith('<!--')) throw refuse('MalformedXML')
    if (stack.length > MAX_DEPTH || count > MAX_ELEMENTS) throw refuse('MalformedXML')
  }
  const [only] = root.children
  if (
    stack.length !== 1 ||
    only === undefined ||
    root.children.length > 1 ||
    root.text.trim() !== ''
  ) {
    throw refuse('MalformedXML')
  }
  return only
}

type Tag = { readonly name: string; readonly closes: boolean; readonly empty: boolean }

const step = (stack: Open[], { name, closes, empty }: Tag): void => {
  const top = stack.at(-1)
  if (closes) {
    if (top?.name !== name || stack.length === 1) throw refuse('MalformedXML')
    stack.pop()
    return
  }
  const opened: Open = { name, text: '', children: [] }
  top?.children.push(opened)
  if (!empty) stack.push(opened)
}

export const childrenOf = (element: Element, name: string): readonly Element[] =>
  element.children.filter((child) => child.name === name)

/** The text of the first child called `name`. */
export const textOf = (element: Element, name: string): string | undefined =>
  element.children.find((child) => child.name === name)?.text
