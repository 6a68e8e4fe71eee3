// @ts-check
/** What every page does a little better with scripts: asks before what cannot be undone, copies, moves the focus to what is new. */

for (const form of document.querySelectorAll("form[data-confirm]")) {
  form.addEventListener("submit", (event) => {
    if (!confirm(/** @type {HTMLElement} */ (form).dataset.confirm)) event.preventDefault();
  });
}

/** A form that was sent is not sent once more by a second click; the page that comes back from the browser's memory may send it anew. */
/** @type {Set<HTMLFormElement>} */
const sent = new Set();
document.addEventListener("submit", (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (event.defaultPrevented || form.method !== "post") return;
  if (sent.has(form)) event.preventDefault();
  else sent.add(form);
});
addEventListener("pageshow", () => sent.clear());

for (const button of document.querySelectorAll("button[data-copy]")) {
  const place = document.getElementById(/** @type {HTMLElement} */ (button).dataset.copy ?? "");
  if (!navigator.clipboard || !place) continue;
  /** @type {HTMLButtonElement} */ (button).hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(place.textContent ?? "");
    button.textContent = /** @type {HTMLElement} */ (button).dataset.copied ?? "";
  });
}

/** Escape closes what is open around the focus, which goes back to what opened it. */
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && !event.defaultPrevented ? document.activeElement?.closest("details[open]") : null;
  if (!open) return;
  open.removeAttribute("open");
  /** @type {HTMLElement | null} */ (open.querySelector("summary"))?.focus();
});

/** A form that changes what is shown when one of its choices changes. */
for (const choice of document.querySelectorAll("[data-shows]")) {
  const apply = () => {
    for (const one of document.querySelectorAll(`[name="${choice.getAttribute("name")}"][data-shows]`)) {
      const target = document.getElementById(one.getAttribute("data-shows") ?? "");
      if (target) target.hidden = !(/** @type {HTMLInputElement} */ (one).checked);
    }
  };
  choice.addEventListener("change", apply);
  apply();
}

const summary = document.getElementById("mistake") ?? document.getElementById("done");
summary?.focus();
