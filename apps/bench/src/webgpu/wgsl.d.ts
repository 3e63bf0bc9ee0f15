/** Shaders as text; the bundler's loader makes them. */
declare module '*.wgsl' {
  const source: string
  // biome-ignore lint/style/noDefaultExport: the loader makes one
  export default source
}
