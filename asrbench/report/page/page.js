"use strict";

// Tables: a heading sorts by its column, again the other way round; what has no value stays last.

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

const filter = document.getElementById("filter");
if (filter) {
  const articles = [...document.querySelectorAll("#browser article")];
  // What is typed is found, composed or not, in capitals or not.
  const plain = (text) => text.normalize("NFC").toLowerCase();
  const words = new Map(articles.map((article) => [article, plain(said(article))]));

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
        const chosen = ["0", system.value].includes(line.dataset.system);
        line.hidden = system.value !== "" && !chosen;
      }
    }
    document.getElementById("count").value = `${shown} shown`;
  };
  // Typing tells of itself by the one, what sets a list for its user by the other alone.
  for (const told of ["input", "change"]) filter.addEventListener(told, apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  // The fields are empty only after the event.
  filter.addEventListener("reset", () => setTimeout(apply));
}

// Id, reference and hypotheses, without what an alignment shows between.
function said(article) {
  const lines = [article.querySelector("h3").firstChild.data];
  for (const text of article.querySelectorAll(".text")) {
    const copy = text.cloneNode(true);
    for (const gone of copy.querySelectorAll("del")) gone.remove();
    lines.push(copy.textContent.replaceAll("␣", " "));
  }
  return lines.join("\n");
}

function moves(article, system, side) {
  if (!side) return true;
  const lines = system ? `[data-system="${system}"]` : "[data-difference]";
  return [...article.querySelectorAll(lines)].some((line) => {
    const difference = Number(line.dataset.difference);
    return side === "better" ? difference < 0 : difference > 0;
  });
}
