const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/'

const NAMED: Readonly<Record<string, string>> = {
  '<': '&lt;',
  '>': '&gt;',
  '&': '&amp;',
  '"': '&quot;',
}

/** Escapes text. Control characters become numeric references: XML 1.0 has no better way to say them. */
export const escapeXml = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be escaped
  text.replace(
    /[<>&"\u0000-\u001f\u007f\ufffe\uffff]/g,
    (sign) => NAMED[sign] ?? `&#${sign.charCodeAt(0)};`,
  )

/** `<name>text</name>`, the text escaped. */
export const field = (name: string, text: string | number | boolean): string =>
  `<${name}>${escapeXml(String(text))}</${name}>`

/** `<name>` around pieces that are XML already. */
export const group = (name: string, ...pieces: readonly string[]): string =>
  `<${name}>${pieces.join('')}</${name}>`

export const xmlDocument = (root: string, ...pieces: readonly string[]): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="${NAMESPACE}">${pieces.join('')}</${root}>`

/** Error documents carry no namespace. */
export const errorDocument = (fields: readonly (readonly [string, string])[]): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n${group('Error', ...fields.map(([name, text]) => field(name, text)))}`
