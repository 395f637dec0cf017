// What was done here, and the log: both are fetched when they are unfolded, and followed while they are seen.
import { get } from "./talk.js";
import { $, inLanguage, node, timeOf, w } from "./tools.js";

const FOLLOW_MS = 3000;
const END_PIXELS = 40; // whoever has scrolled up by more than this is reading there

async function showChanges() {
  const answer = await get("/api/changes", true);
  if (!answer.ok) return;
  const { changes } = answer.value;
  $("changes").querySelector("ol").replaceChildren(...(changes.length ? changes.map((event) => node("li", {},
    timeOf(event.at), ` ${inLanguage(event.text, event.kind)}`)) : [node("li", { textContent: w("no_changes") })]));
}

async function showLines() {
  const wanted = new URLSearchParams(new FormData($("log-filter")));
  const answer = await get(`/api/log?${wanted}`, true);
  if (!answer.ok) return;
  const pre = $("lines").querySelector("pre");
  const atEnd = pre.scrollHeight - pre.scrollTop - pre.clientHeight < END_PIXELS || !pre.textContent;
  const text = answer.value.lines.join("\n") || w("no_lines");
  if (pre.textContent === text) return;
  pre.textContent = text;
  if (atEnd) pre.scrollTop = pre.scrollHeight;
}

export function changesMayHaveChanged() { if ($("changes").open) showChanges(); }

$("changes").addEventListener("toggle", changesMayHaveChanged);
$("lines").addEventListener("toggle", () => { if ($("lines").open) showLines(); });
$("log-filter").oninput = showLines;
$("log-filter").onsubmit = (event) => event.preventDefault();
setInterval(() => { if ($("lines").open && !document.hidden) showLines(); }, FOLLOW_MS);
