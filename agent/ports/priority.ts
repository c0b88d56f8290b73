/** How much this process counts against others on its machine. */
export type OwnPriority = {
  /** Below all others, in processor and disk, until what is answered is called. Whatever the system refuses stays as it is. */
  lower(): () => void
}
