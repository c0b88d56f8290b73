/** Answers whoever asks on this machine what the agent does. */
export type ServeStatus = (look: () => string) => Promise<{ close(): Promise<void> }>

/** `silent`: a process is there that does not answer; `absent`: there is none. */
export type StatusAnswer =
  | { readonly at: 'answered'; readonly text: string }
  | { readonly at: 'silent' }
  | { readonly at: 'absent' }
