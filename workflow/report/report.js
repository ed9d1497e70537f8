"use strict";

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.textContent.trim();
    return text === "–" ? NaN : cell.matches(".text, :first-child") ? text : Number(text.replace(/[^0-9.]/g, ""));
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      const keyed = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
      const missing = (key) => typeof key === "number" && Number.isNaN(key);
      keyed.sort(([a], [b]) => missing(a) - missing(b) || (up ? compare(a, b) : compare(b, a)));
      table.tBodies[0].append(...keyed.map(([, row]) => row));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });
}

for (const tool of document.querySelectorAll(".tools label")) {
  const slider = tool.querySelector("input");
  tool.hidden = false;
  slider.addEventListener("input", () => {
    document.documentElement.style.setProperty("--cover", slider.value);
    document.querySelectorAll(".tools input").forEach((other) => { other.value = slider.value; });
  });
}
