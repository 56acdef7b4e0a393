"use strict";

// Tables: a click on a heading sorts by its column, a second click in reverse order. Cells without
// a value stay last.

for (const table of document.querySelectorAll(".table table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const way = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", way);
      sort(table.tBodies[0], column, way === "ascending" ? 1 : -1);
    });
  });
}

function sort(body, column, sign) {
  const keyed = [...body.rows].map((row) => [row.cells[column].dataset.value, row]);
  const known = keyed.filter(([value]) => value !== undefined);
  const numbers = known.every(([value]) => value.trim() !== "" && !Number.isNaN(Number(value)));
  const order = numbers
    ? ([one], [other]) => sign * (Number(one) - Number(other))
    : ([one], [other]) => sign * one.localeCompare(other, undefined, { numeric: true });
  known.sort(order);
  const unknown = keyed.filter(([value]) => value === undefined);
  body.append(...[...known, ...unknown].map(([, row]) => row));
}

// Utterances

for (const filter of document.querySelectorAll(".utterances form")) {
  const section = filter.closest("section");
  const articles = [...section.querySelectorAll("article")];
  // The search ignores case and Unicode normal form.
  const plain = (text) => text.normalize("NFC").toLowerCase();
  const words = new Map(articles.map((article) => [article, plain(textOf(article))]));

  const apply = () => {
    const { text, system, side, speaker } = filter.elements;
    let shown = 0;
    for (const article of articles) {
      const fits =
        words.get(article).includes(plain(text.value)) &&
        (!speaker || !speaker.value || article.dataset.speaker === speaker.value) &&
        moves(article, system.value, side.value);
      article.hidden = !fits;
      shown += fits;
      for (const line of article.querySelectorAll("[data-system]")) {
        const chosen = "baseline" in line.dataset || line.dataset.system === system.value;
        line.hidden = system.value !== "" && !chosen;
      }
    }
    section.querySelector("output").value = `${shown} shown`;
  };
  const applyAndKeep = () => {
    apply();
    keepInAddress(filter);
  };
  // Typing sends `input`; some browsers send only `change` for a list.
  for (const event of ["input", "change"]) filter.addEventListener(event, applyAndKeep);
  filter.addEventListener("submit", (event) => event.preventDefault());
  // The reset event comes before the fields are cleared, so the click clears them and then filters.
  filter.querySelector("[type=reset]").addEventListener("click", (event) => {
    event.preventDefault();
    filter.reset();
    applyAndKeep();
  });
  const restore = () => {
    if (takeFromAddress(filter)) apply();
  };
  window.addEventListener("hashchange", restore);
  restore();
}

// The address of a filtered page ends in `#utterances?system=ds2_twattn&side=worse`.

function placeOf(form) {
  return form.closest("section").querySelector("h2").id;
}

function keepInAddress(form) {
  const values = [...new FormData(form)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(values).toString();
  // Replaced, so that each letter typed is no step back.
  history.replaceState(null, "", query ? `#${placeOf(form)}?${query}` : `#${placeOf(form)}`);
}

function takeFromAddress(form) {
  const [place, query] = location.hash.slice(1).split(/\?(.*)/s);
  if (place !== placeOf(form) || !query) return false;
  form.reset();
  for (const [name, value] of new URLSearchParams(query)) {
    const field = form.elements.namedItem(name);
    if (field instanceof HTMLInputElement || field instanceof HTMLSelectElement) field.value = value;
  }
  // A list has no value that it does not offer.
  for (const list of form.querySelectorAll("select")) if (list.selectedIndex < 0) list.value = "";
  document.getElementById(place).scrollIntoView();
  return true;
}

// Returns id, reference and hypotheses, without deleted characters.
function textOf(article) {
  const lines = [article.querySelector("h3").firstChild.data];
  for (const text of article.querySelectorAll(".text")) {
    const copy = text.cloneNode(true);
    for (const deleted of copy.querySelectorAll("del")) deleted.remove();
    lines.push(copy.textContent.replaceAll("␣", " "));
  }
  return lines.join("\n");
}

function moves(article, system, side) {
  if (!side) return true;
  const lines = [...article.querySelectorAll("[data-difference]")];
  return lines.some((line) => {
    if (system && line.dataset.system !== system) return false;
    const difference = Number(line.dataset.difference);
    return side === "better" ? difference < 0 : difference > 0;
  });
}
