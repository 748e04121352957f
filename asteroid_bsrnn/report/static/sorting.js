// Tables sorted by a column: down first for figures, up for names; empty cells stay last. And the
// choice of the score that the comparison shows.
(function () {
  "use strict";

  function value(row, index) {
    var cell = row.cells[index];
    if (cell.dataset.sort !== undefined) return parseFloat(cell.dataset.sort);
    return cell.classList.contains("number") ? null : cell.textContent.trim();
  }

  function compare(one, two) {
    if (typeof one === "number" && typeof two === "number") return one - two;
    return String(one).localeCompare(String(two), "en", { numeric: true });
  }

  function sort(table, head) {
    var heads = Array.from(head.parentNode.cells);
    var index = heads.indexOf(head);
    var first = head.classList.contains("number") ? "descending" : "ascending";
    var second = first === "descending" ? "ascending" : "descending";
    var direction = head.getAttribute("aria-sort") === first ? second : first;
    heads.forEach(function (other) { if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none"); });
    head.setAttribute("aria-sort", direction);
    var sign = direction === "ascending" ? 1 : -1;
    var body = table.tBodies[0];
    var keyed = Array.from(body.rows).map(function (row) { return { row: row, key: value(row, index) }; });
    keyed.sort(function (one, two) {
      if (one.key === null || two.key === null) return (one.key === null) - (two.key === null);
      return sign * compare(one.key, two.key);
    });
    keyed.forEach(function (item) { body.appendChild(item.row); });
  }

  document.querySelectorAll("table[data-sortable]").forEach(function (table) {
    table.querySelectorAll("th[aria-sort] button").forEach(function (button) {
      button.addEventListener("click", function () { sort(table, button.parentNode); });
    });
  });

  document.querySelectorAll("[data-measures]").forEach(function (choice) {
    var table = document.getElementById(choice.dataset.measures);
    var buttons = Array.from(choice.querySelectorAll("button"));
    function show(measure) {
      table.dataset.shows = measure;
      buttons.forEach(function (button) {
        button.setAttribute("aria-pressed", String(button.dataset.measure === measure));
      });
    }
    buttons.forEach(function (button) {
      button.addEventListener("click", function () { show(button.dataset.measure); });
    });
    choice.classList.add("ready");
    show("usdr");
  });
})();
