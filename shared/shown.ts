/** Somebody else's words on a terminal: file names, and what programs said of them. */

// Control characters of ASCII and of latin1 (as they stand in UTF-8), and what reorders text.
export const UNSAFE = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

const hex = (char: string): string => char.charCodeAt(0).toString(16).padStart(2, '0')

/** Whatever could change the screen is written as `\xNN` or `\u{…}`. */
export const shown = (text: string): string =>
  text.replace(UNSAFE, (char) =>
    char.charCodeAt(0) < 0x100 ? `\\x${hex(char)}` : `\\u{${hex(char)}}`,
  )
