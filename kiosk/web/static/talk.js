// Talking to the machine, and to the technician: ask before, say after, prove who it is where the machine wants it.
import { $, first, inLanguage, w } from "./tools.js";

const xsrf = document.querySelector("meta[name=xsrf]").content;
const GOOD_NEWS_MS = 8000; // long enough to read twice; what went wrong stays until it is taken away
let fading = 0;

// `kind`: good, bad, or busy with what is not done yet.
export function say(text, kind = "good") {
  const said = $("said");
  said.className = kind;
  said.querySelector("p").textContent = text;
  said.querySelector("button").hidden = !text;
  clearTimeout(fading);
  if (text && kind === "good") fading = setTimeout(() => say(""), GOOD_NEWS_MS);
}
$("said").querySelector("button").onclick = () => say("");

async function request(path, options) {
  let answer, value;
  try {
    answer = await fetch(path, options);
    value = await answer.json();
  } catch {
    return { ok: false, error: { code: "no_answer", text: { [first.language]: w("no_answer") } } };
  }
  if (answer.status === 401) location = "/login";
  return { ok: answer.ok, error: value.error, value };
}

// Ask for something to show. `byItself`: nobody has touched the page for it.
export const get = (path, byItself = false) => request(path, { headers: byItself ? { "X-By-Itself": "1" } : {} });

const send = (path, body = {}) => request(path, {
  method: "POST", headers: { "X-XSRFToken": xsrf, "Content-Type": "application/json" }, body: JSON.stringify(body),
});

export const reason = (answer) => inLanguage(answer.error?.text, answer.error?.message ?? w("no_answer"));

// Change something; the answer's value, or null after saying why not. `done(value)`: what to say then.
export async function change(path, body, done, doing = "") {
  if (doing) say(doing, "busy");
  let answer = await send(path, body);
  if (answer.error?.code === "prove_it") {
    say("");
    if (!(await prove())) return null;
    if (doing) say(doing, "busy");
    answer = await send(path, body);
  }
  if (answer.ok) say(done(answer.value)); else say(reason(answer), "bad");
  return answer.ok ? answer.value : null;
}

// Like `change`, but what went wrong is returned, to be shown where it was typed.
export const tryChange = send;

export function ask(text, yes) {
  const dialog = $("ask");
  $("ask-text").textContent = text;
  dialog.querySelector("[value=yes]").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// Ask for the password again; whether it was right in the end.
function prove() {
  const dialog = $("prove"), form = dialog.querySelector("form");
  $("prove-text").textContent = w("prove");
  $("prove-said").textContent = "";
  $("proof").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    let proven = false;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const answer = await send("/api/prove", { password: $("proof").value });
      $("prove-said").textContent = answer.ok ? "" : reason(answer);
      $("proof").value = "";
      if (!answer.ok) { $("proof").focus(); return; }
      proven = true;
      dialog.close();
    };
    dialog.addEventListener("close", () => resolve(proven), { once: true });
  });
}

for (const button of document.querySelectorAll("[data-close]")) button.onclick = () => button.closest("dialog").close();
