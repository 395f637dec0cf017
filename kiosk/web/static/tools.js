// What every part of the page uses: what came with it, words, elements, money and times.
export const first = JSON.parse(document.getElementById("first").value);
const words = first.words;

export const $ = (id) => document.getElementById(id);

// The sentence of that name with {values} filled in; a name that has no words is shown as it is.
export function w(name, values = {}) {
  return (words[name] ?? name).replace(/\{(\w+)\}/g, (_, each) => values[each] ?? "–");
}
export const hasWord = (name) => name in words;

// A text that the machine gives in each language.
export const inLanguage = (texts, otherwise = "") => texts?.[first.language] ?? otherwise;

export function node(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(made.dataset, value);
    else if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

export const chip = (word, state) => node("span", { className: `chip ${state}`, textContent: w(`${word}.${state}`) });

// Make the children of `parent` stand for `items`; whoever stays keeps focus and what is open in it.
export function keep(parent, items, key, make, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const after = items.map((item) => {
    const name = key(item);
    let child = before.get(name);
    if (!child) {
      child = make(item);
      child.dataset.key = name;
    }
    before.delete(name);
    update(child, item);
    return child;
  });
  for (const gone of before.values()) gone.remove();
  after.forEach((child, at) => { if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null); });
}

export const yuan = (fen) => `${fen < 0 ? "−" : ""}¥${(Math.abs(fen) / 100).toFixed(2)}`;

// Times -----------------------------------------------------------------------------------------------------------

let machineAhead = 0; // milliseconds: ages are told by the machine's clock, not by the phone's
export function setClock(at) { machineAhead = new Date(at) - Date.now(); }
export const now = () => Date.now() + machineAhead;

const two = (number) => String(number).padStart(2, "0");
export function exact(at) {
  const time = new Date(at);
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${day} ${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":")}`;
}
export const clock = (at) => exact(at).slice(11);

function relative(at) {
  const minutes = Math.floor((now() - new Date(at)) / 60000);
  if (minutes < 1) return w("seconds_ago");
  if (minutes < 60) return w("minutes_ago", { n: minutes });
  if (minutes < 24 * 60) return w("hours_ago", { n: Math.floor(minutes / 60) });
  return exact(at).slice(5, 16);
}

// A time that tells its age, and on touch itself.
export function timeOf(at) {
  if (!at) return node("span", { textContent: w("never") });
  return node("time", { dateTime: at, title: exact(at), textContent: relative(at) });
}
document.addEventListener("click", ({ target }) => {
  if (target.tagName !== "TIME" || target.closest("summary, button")) return;
  const shown = target.toggleAttribute("data-exact");
  target.textContent = shown ? exact(target.dateTime) : relative(target.dateTime);
});
setInterval(() => {
  for (const each of document.querySelectorAll("time:not([data-exact], [data-fixed])")) each.textContent = relative(each.dateTime);
}, 15000);

export function span(seconds) {
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  return hours >= 24 ? w("days_hours", { d: Math.floor(hours / 24), h: hours % 24 }) : w("hours_minutes", { h: hours, m: minutes % 60 });
}

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; count >= 1024 && at < units.length - 1; at += 1) count /= 1024;
  return `${count >= 10 || at === 0 ? Math.round(count) : count.toFixed(1)} ${units[at]}`;
}

// A bar from 0 to 1; its number stands beside it in words.
export function bar(part, upright = false) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  const size = part > 0 ? Math.max(2, 100 * part) : 0;
  const place = upright ? { x: 12, y: 100 - size, width: 76, height: size } : { x: 0, y: 0, width: size, height: 100 };
  for (const [name, value] of Object.entries(place)) rect.setAttribute(name, value);
  svg.append(rect);
  return svg;
}
