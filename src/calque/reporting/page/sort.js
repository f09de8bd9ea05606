"use strict";
document.documentElement.classList.add("scripted");
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const order = new Intl.Collator(document.documentElement.lang, { numeric: true });
  const number = (row, column) => {
    const raw = row.cells[column].dataset.value;
    return raw === undefined || raw === "" ? NaN : Number(raw);
  };
  const compare = (a, b, column, sign) => {
    if (a.cells[column].dataset.value === undefined)
      return sign * order.compare(a.cells[column].textContent, b.cells[column].textContent);
    const [x, y] = [number(a, column), number(b, column)];
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y); // nothing comes last, both ways
    return sign * (x - y);
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      body.append(...[...body.rows].sort((a, b) => compare(a, b, column, sign)));
    });
  });
}
const field = document.getElementById("filter");
if (field) {
  const rows = [...document.getElementById("every-case").tBodies[0].rows];
  const said = document.querySelector("output[for=filter]");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    said.textContent = said.dataset.shown.replace("{n}", shown).replace("{all}", rows.length);
  });
}
