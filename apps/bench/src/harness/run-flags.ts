/** Options of the command line, as commander gives them. */
export interface RunFlags {
  case?: string
  batch?: string
  dtype?: string
  variant?: string
  threads?: string
  contenders?: string
  minTime?: number
  quick?: true
  out?: string
  format: 'md' | 'json'
  report?: string
  installContenders?: true
  check?: true
}
