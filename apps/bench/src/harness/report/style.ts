/** Style sheet of the HTML report: light and dark, one column on a phone. */
export const REPORT_STYLE: string = `
:root {
  --page: #fcfcfb; --ink: #1d1d1b; --muted: #5f5e5a; --line: #dddcd7; --panel: #ffffff;
  --series-own: #2a6fc9; --series-two-step: #0f8f66; --series-engine: #d0581f; --series-typescript: #7a5bc7;
  --pass: #0f7a57; --miss: #b93a1c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #191918; --ink: #ecebe6; --muted: #a5a49d; --line: #3a3a37; --panel: #212120;
    --series-own: #5b9bea; --series-two-step: #35b58a; --series-engine: #ec8250; --series-typescript: #a48be8;
    --pass: #4cc79c; --miss: #f08a68;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 20px 16px 48px; }
h1 { font-size: 24px; line-height: 1.25; margin: 8px 0; }
h2 { font-size: 18px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 0 0 4px; }
.run, figcaption, .legend { color: var(--muted); font-size: 13px; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 16px; }
figure { margin: 0; padding: 12px; background: var(--panel); border: 1px solid var(--line); border-radius: 8px; }
figure svg { display: block; width: 100%; max-width: 480px; height: auto; overflow: visible; font-size: 12px; }
figcaption { margin-top: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; }
.legend span { display: inline-flex; align-items: center; gap: 6px; }
.legend i { width: 18px; height: 3px; border-radius: 2px; }
.legend i.floor { height: 0; border-top: 2px dashed var(--ink); border-radius: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px 4px 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--muted); font-weight: 600; white-space: nowrap; }
.records td:not(:nth-child(2)), .records th:not(:nth-child(2)) { text-align: right; white-space: nowrap; }
.summary td:first-child { font-weight: 600; white-space: nowrap; }
.pass td:first-child { color: var(--pass); }
.miss td:first-child { color: var(--miss); }
.not-measured td:first-child { color: var(--muted); }
details { border-bottom: 1px solid var(--line); padding: 6px 0; }
summary { cursor: pointer; }
@media (max-width: 640px) {
  .summary thead { display: none; }
  .summary tr { display: grid; grid-template-columns: 76px 1fr; padding: 6px 0; border-bottom: 1px solid var(--line); }
  .summary td { border: 0; padding: 0; }
  .summary td:nth-child(3)::before { content: 'target: '; }
  .summary td:nth-child(4)::before { content: 'measured: '; }
  .summary td:nth-child(n + 3) { grid-column: 2; color: var(--muted); }
}
`
