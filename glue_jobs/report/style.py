"""The look: system fonts, one accent, one alert, light and dark, screen and A4.

On paper an image has no ground of its own: one that was not loaded yet, as nobody scrolled to it, shows its tile.

Selectors are a name or a class, nested at most: the tests compute every pair of text and background from them.
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT = {
    "paper": "#faf8f4",
    "sheet": "#ffffff",
    "ink": "#1d1b18",
    "soft": "#625c53",
    "rule": "#e4dfd5",
    "accent": "#0d5f66",
    "tint": "#e5f0ef",
    "alert": "#9c2f1c",
    "blush": "#fbebe6",
}
DARK = {
    "paper": "#151412",
    "sheet": "#1e1c19",
    "ink": "#f1ede6",
    "soft": "#b3aca0",
    "rule": "#37332d",
    "accent": "#74cbc8",
    "tint": "#183231",
    "alert": "#ff9d86",
    "blush": "#3a1e17",
}

_RULES = """
* { box-sizing: border-box; }
html { font: 100%/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere; }
header, nav, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; padding-bottom: 1rem; }
h1, h2 { font-family: Charter, "Iowan Old Style", "Palatino Linotype", Georgia, serif; font-weight: 600;
  line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(1.6rem, 1.2rem + 2.2vw, 2.6rem); margin: 0.4rem 0 0.8rem; max-width: 34em; }
h2 { font-size: 1.6rem; margin: 0 0 0.5rem; }
h3 { font-size: 1.1rem; margin: 0 0 0.75rem; }
h4 { font-size: 0.95rem; margin: 0; display: flex; flex-wrap: wrap; gap: 0.6rem; align-items: baseline; }
p { margin: 0 0 0.75rem; max-width: 44rem; }
a { color: var(--accent); }
code { font: 0.92em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.above { color: var(--accent); font-weight: 600; margin: 0; }
.alarm { color: var(--alert); }
.note { color: var(--soft); font-size: 0.875rem; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--sheet); }
nav ul { list-style: none; margin: 0; padding: 0.75rem 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem;
  border-top: 1px solid var(--rule); border-bottom: 1px solid var(--rule); font-size: 0.9rem; }
.part { padding: 2.5rem 0 0; }
.block { margin-top: 1.75rem; padding: 1.5rem; background: var(--sheet); border: 1px solid var(--rule);
  border-radius: 0.75rem; }
.ask { background: var(--blush); border: 0; border-left: 0.3rem solid var(--alert); }
.ask dd code { display: block; background: var(--sheet); padding: 0.6rem 0.8rem; border-radius: 0.4rem; }
dl { margin: 0; }
dt { font-weight: 600; margin-top: 0.75rem; }
dd { margin: 0.25rem 0 0; }
.steps { list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); }
.steps li { display: grid; grid-template-rows: auto auto auto 1fr; gap: 0.3rem; }
.count { font-size: 2rem; line-height: 1.1; font-weight: 600; font-variant-numeric: tabular-nums; }
.label { font-weight: 600; }
.bar { display: block; height: 0.5rem; min-width: 3rem; background: var(--rule); border-radius: 0.25rem;
  overflow: hidden; }
.fill { display: block; height: 100%; background: var(--accent); }
.users { display: grid; gap: 1.25rem; grid-template-columns: minmax(0, 1fr); }
.user { border-top: 1px solid var(--rule); padding-top: 1rem; break-inside: avoid; }
.user p { margin: 0.2rem 0 0; }
.alias { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.chip, .mark { background: var(--tint); color: var(--accent); border-radius: 0.3rem; padding: 0 0.4rem;
  font-size: 0.8rem; font-weight: 600; }
.stop { background: var(--blush); color: var(--alert); }
.items { list-style: none; margin: 0.75rem 0 0; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(8.5rem, 44%), 1fr)); }
.item { display: flex; flex-direction: column; align-items: flex-start; gap: 0.15rem; font-size: 0.875rem;
  min-width: 0; break-inside: avoid; }
.name { font-weight: 600; line-height: 1.35; }
.price { font-variant-numeric: tabular-nums; }
.picture { position: relative; display: block; width: 100%; aspect-ratio: 1; border-radius: 0.5rem; overflow: hidden;
  margin-bottom: 0.25rem; }
.tile { position: absolute; inset: 0; display: flex; align-items: center; justify-content: center; padding: 0.6rem;
  text-align: center; background: var(--tint); color: var(--accent); font-weight: 600; line-height: 1.3; }
.picture img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; background: var(--paper);
  color: var(--accent); }
.picture img::after { content: attr(alt); position: absolute; inset: 0; display: flex; align-items: center;
  justify-content: center; padding: 0.6rem; text-align: center; background: var(--tint); font-weight: 600;
  line-height: 1.3; }
.columns { display: grid; gap: 1.5rem 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(17rem, 100%), 1fr)); }
.wide { overflow-x: auto; margin-top: 0.75rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; overflow-wrap: break-word; }
td code, th code { overflow-wrap: anywhere; }
td .alias, .when { white-space: nowrap; }
td .bar { margin-top: 0.5em; }
.paths { margin: 0; padding: 0; list-style: none; display: grid; gap: 0.4rem; font-size: 0.9rem; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.4rem; }
th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.75rem 0.4rem 0;
  border-bottom: 1px solid var(--rule); }
thead th { color: var(--soft); font-weight: 600; font-size: 0.8rem; }
tbody th { font-weight: 400; }
.figure { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.trend { display: grid; gap: 0.3rem; }
.bars { display: block; width: 100%; height: 3.5rem; border-bottom: 1px solid var(--rule); }
.run { fill: var(--soft); }
.now { fill: var(--accent); }
.open { fill: none; stroke: var(--soft); vector-effect: non-scaling-stroke; }
footer { padding-top: 2.5rem; padding-bottom: 3rem; color: var(--soft); font-size: 0.85rem; }
"""

_NARROW = """
@media screen and (max-width: 40rem) {
  header { padding-top: 1.5rem; }
  .block { padding: 1.1rem; margin-left: -0.4rem; margin-right: -0.4rem; }
  .items { display: flex; gap: 0.75rem; overflow-x: auto; padding-bottom: 0.5rem; }
  .item { flex: 0 0 7.5rem; }
  table { font-size: 0.82rem; }
  th, td { padding-right: 0.5rem; }
}
"""

_PAPER = """
@page { size: A4; margin: 15mm 14mm; }
@media print {
  html { font-size: 9pt; }
  body { background: none; }
  nav, .skip { display: none; }
  header, main, footer { max-width: none; padding: 0; }
  .block { padding: 0; border: 0; margin-top: 1.5rem; }
  .ask { padding: 0.8rem; }
  .picture { aspect-ratio: 4 / 3; }
  .picture img { background: none; object-fit: cover; }
  .items { grid-template-columns: repeat(6, 1fr); gap: 0.6rem; }
  h2, h3, h4, caption { break-after: avoid; }
  p, tr, li, dd, .user { break-inside: avoid; }
  .fill, .bar, .picture, .tile, .chip, .mark, .ask, .run {
    print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def stylesheet() -> str:
    """The page's whole style. Paper is always light."""
    dark = f"@media screen and (prefers-color-scheme: dark) {{ {_root(DARK)} }}"
    return "\n".join([_root(LIGHT), dark, _RULES.strip(), _NARROW.strip(), _PAPER.strip()])


def _root(palette: Mapping[str, str]) -> str:
    return f":root {{ {' '.join(f'--{name}: {colour};' for name, colour in palette.items())} }}"
