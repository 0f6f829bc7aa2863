// Without this the page can be read; with it, searched and sorted.
"use strict";
document.documentElement.classList.add("scripted");
const table = document.querySelector("#findings");
const text = document.querySelector("#search input[type=search]");
const boxes = [...document.querySelectorAll("#search input[name=verdict]")];
const differ = document.querySelector("#differ");
const shown = document.querySelector("#shown");

function verdicts(row) {
  return [...row.querySelectorAll("td[data-verdict]")].map(cell => cell.dataset.verdict);
}

function wanted(row) {
  const found = verdicts(row);
  const chosen = boxes.filter(box => box.checked).map(box => box.value);
  return row.textContent.toLowerCase().includes(text.value.trim().toLowerCase())
    && (!boxes.length || found.some(one => chosen.includes(one)))
    && (!differ?.checked || new Set(found).size > 1);
}

function filter() {
  let count = 0;
  for (const body of table.tBodies) {
    const rows = [...body.querySelectorAll("tr:not(.group)")];
    for (const row of rows) {
      row.hidden = !wanted(row);
      count += !row.hidden;
    }
    body.hidden = rows.every(row => row.hidden);
  }
  shown.textContent = `${count} shown`;
}

function key(row, column) {
  const cell = row.cells[column];
  return cell?.dataset.key ?? cell?.textContent ?? "";
}

function sort(column, button) {
  const head = button.parentElement;
  const down = head.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  for (const body of table.tBodies) {
    const rows = [...body.querySelectorAll("tr:not(.group)")];
    rows.sort((one, other) => (down ? -1 : 1)
      * key(one, column).localeCompare(key(other, column), "en", { numeric: true }));
    body.append(...rows);
  }
}

[...table.tHead.rows[0].cells].forEach((head, column) => {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  button.addEventListener("click", () => sort(column, button));
  head.append(button);
});
for (const input of [text, ...boxes, differ]) input?.addEventListener("input", filter);
filter();
