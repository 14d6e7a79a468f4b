//! The page's looks: system fonts, and colours for light and dark that the colour-blind can tell apart.

/// The style sheet.
pub(super) const STYLE: &str = "
:root { color-scheme: light dark; --ground: #fff; --card: #f7f8fa; --text: #1c2430; --soft: #66707f;
  --grid: #e3e7ec;
  --load: #9aa5b4; --capacity: #0b7285; --work: #d9480f; --count: #364fc7; --queue: #c2255c; --up: #2b8a3e;
  --down: #b35c00; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --card: #1a2029; --text: #e6eaf0;
  --soft: #97a3b3;
  --grid: #2b3340; --load: #6b778a; --capacity: #3bc9db; --work: #ff922b; --count: #91a7ff; --queue: #f783ac;
  --up: #69db7c; --down: #ffc078; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 28px 20px 60px; max-width: 1000px; background: var(--ground);
  color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 0; }
p { margin: 6px 0; } .soft { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--grid); border-radius: 10px; padding: 14px 16px;
  margin: 18px 0; }
.facts { display: flex; flex-wrap: wrap; gap: 2px 22px; color: var(--soft); font-size: 13px;
  margin: 2px 0 8px; }
.facts b { color: var(--text); font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 6px 10px; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { font-weight: 500; color: var(--soft); font-size: 13px;
  } th:first-child, td:first-child { text-align: left; }
tr:last-child td { border-bottom: 0; } td.best { font-weight: 650; color: var(--up); }
svg { display: block; width: 100%; min-width: 800px; height: auto; }
.tick { font-size: 11px; fill: var(--soft); } .title { font-size: 12px; font-weight: 600; fill: var(--text); }
.grid { stroke: var(--grid); stroke-width: 1; fill: none; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; } .area { stroke: none; opacity: .16; }
.line.load { stroke: var(--load); } .area.load, .key.load { fill: var(--load); }
.line.capacity { stroke: var(--capacity); } .area.capacity, .key.capacity { fill: var(--capacity); }
.line.work { stroke: var(--work); } .area.work, .key.work { fill: var(--work); }
.line.count { stroke: var(--count); } .area.count, .key.count { fill: var(--count); }
.line.queue { stroke: var(--queue); } .area.queue, .key.queue { fill: var(--queue); }
.mark.up { fill: var(--up); } .mark.down { fill: var(--down); }
.hover { fill: transparent; } .hover:hover { fill: var(--soft); opacity: .14; }
details { font-size: 13px; margin-top: 6px; } summary { cursor: pointer; color: var(--soft); }
ol { margin: 6px 0; padding-left: 0; list-style: none; } li { padding: 2px 0; }
time { display: inline-block; min-width: 70px; color: var(--soft); font-variant-numeric: tabular-nums; }
";
