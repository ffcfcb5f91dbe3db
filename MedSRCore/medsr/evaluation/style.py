"""How the page looks and what its keys do, as text to put into it."""

from __future__ import annotations

STYLE = """
:root{color-scheme:dark;--ground:#0d0f12;--card:#15181d;--line:#272c34;--text:#e4e7eb;--soft:#98a1ad}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1560px;padding:28px 28px 48px;background:var(--ground);color:var(--text);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:27px;font-weight:600;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:18px;font-weight:600;margin:0 0 8px}
h2 span{display:inline-block;margin-left:8px;padding:1px 9px;border-radius:9px;background:#263140;color:#a9d3f5;
  font-size:14px;font-weight:500}
header p{max-width:980px;margin:4px 0;color:#c6ccd4}
p{margin:6px 0}
.warning{color:#f0b45a}
header .warning{font-size:13px}
.note{color:var(--soft);font-size:13px;max-width:1100px}
section{margin:22px 0;padding:18px 20px;background:var(--card);border:1px solid var(--line);border-radius:10px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(340px,1fr));gap:26px}
figure{margin:0}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--text);font:11px system-ui,sans-serif}
svg .title{font-size:13px;font-weight:600}
svg .note,svg .scale{fill:var(--soft);font-size:10px}
svg .case{font-weight:600;fill:#a9d3f5}
svg .name{text-anchor:end}
svg .scale{text-anchor:middle}
svg .tick{stroke:#262b33}
svg .zero{stroke:#7b8591}
svg .interval{stroke:#fff;stroke-width:1.3;fill:none}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;width:100%}
th{color:var(--soft);font-weight:500;text-align:right;padding:5px 7px;border-bottom:1px solid var(--line);
  white-space:nowrap}
td{text-align:right;padding:4px 7px;white-space:nowrap}
td:nth-child(1),td:nth-child(2),th:nth-child(1),th:nth-child(2){text-align:left}
details td:last-child{text-align:left;white-space:normal}
details td:nth-child(3),details th:nth-child(3){text-align:left}
tr.first td{border-top:1px solid var(--line)}
td.best{color:#fff;font-weight:700}
tbody tr:hover{background:#1b2027}
summary{cursor:pointer;font-weight:600}
.grid{display:grid;grid-template-columns:22px repeat(var(--columns),minmax(0,1fr));gap:5px;align-items:center;
  margin-top:12px}
.head{align-self:end;padding:0 2px 4px;border-bottom:2px solid #4b5563;line-height:1.3}
.head b{display:block;font-size:14px;font-weight:600;overflow-wrap:anywhere}
.head small span{white-space:nowrap;margin-right:6px}
.head small{display:block;color:var(--soft);font-size:11px;min-height:2.6em}
.line{writing-mode:vertical-rl;transform:rotate(180deg);justify-self:center;color:var(--soft);font-size:12px;
  text-align:center}
.cell{position:relative;background:#000;overflow:hidden;border-radius:2px;cursor:zoom-in;min-width:0}
.cell img{position:absolute;inset:0;width:100%;height:100%;display:block}
.pixels{image-rendering:pixelated}
.cell i{position:absolute;color:#cfd6de;font:600 11px/1 system-ui,sans-serif;
  text-shadow:0 0 3px #000,0 0 3px #000;pointer-events:none;opacity:.85}
.cell .t{top:4px;left:50%;transform:translateX(-50%)}
.cell .b{bottom:4px;left:50%;transform:translateX(-50%)}
.cell .l{left:4px;top:50%;transform:translateY(-50%)}
.cell .r{right:4px;top:50%;transform:translateY(-50%)}
.cell em{position:absolute;border:1px solid #ffd166;pointer-events:none}
.key{padding:0 14px;align-self:center}
.key img{width:100%;height:12px;display:block;border-radius:2px}
.key div{display:flex;justify-content:space-between;font-size:12px;margin:3px 0;font-variant-numeric:tabular-nums}
.key small{display:block;color:var(--soft);font-size:11px;line-height:1.35}
footer{color:var(--soft);font-size:12.5px;max-width:1100px}
footer a{color:#8fc3ee}
#large{position:fixed;inset:0;background:#000;display:none;z-index:9;cursor:zoom-out}
#large.open{display:grid;place-items:center}
#large .cell{border-radius:0}
#large p{position:fixed;left:0;right:0;bottom:6px;margin:0;text-align:center;font-size:14px;color:#e4e7eb;
  text-shadow:0 0 4px #000}
@media print{:root{color-scheme:light;--ground:#fff;--card:#fff;--line:#bbb;--text:#111;--soft:#444}header p{
  color:#222}section{break-inside:avoid}}
"""

SCRIPT = """
(function () {
  "use strict";
  // The enlarged picture: left and right change the column in place, so that the eye sees what moves.
  var cells = Array.prototype.slice.call(document.querySelectorAll(".grid .cell"));
  if (!cells.length) { return; }
  var large = document.createElement("div"), now = -1;
  large.id = "large";
  document.body.appendChild(large);
  function show(index) {
    now = index;
    var cell = cells[index].cloneNode(true), ratio = cells[index].offsetWidth / cells[index].offsetHeight;
    var width = Math.min(window.innerWidth * 0.96, window.innerHeight * 0.92 * ratio);
    cell.style.width = width + "px";
    var text = document.createElement("p");
    text.textContent = cell.querySelector("img").alt;
    large.replaceChildren(cell, text);
    large.className = "open";
  }
  function close() { large.className = ""; now = -1; }
  function step(by) {
    var parent = cells[now].parentNode, line = cells[now].dataset.line;
    var same = cells.filter(function (c) { return c.parentNode === parent && c.dataset.line === line; });
    var at = same.indexOf(cells[now]);
    show(cells.indexOf(same[(at + by + same.length) % same.length]));
  }
  function line(by) {
    var parent = cells[now].parentNode, column = cells[now].dataset.column;
    var same = cells.filter(function (c) { return c.parentNode === parent && c.dataset.column === column; });
    var at = same.indexOf(cells[now]) + by;
    if (at >= 0 && at < same.length) { show(cells.indexOf(same[at])); }
  }
  cells.forEach(function (cell, index) { cell.addEventListener("click", function () { show(index); }); });
  large.addEventListener("click", close);
  document.addEventListener("keydown", function (event) {
    if (now < 0) { return; }
    var act = { ArrowLeft: function () { step(-1); }, ArrowRight: function () { step(1); },
      ArrowUp: function () { line(-1); }, ArrowDown: function () { line(1); }, Escape: close }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
})();
"""
