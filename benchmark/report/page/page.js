"use strict";
(() => {
  const tables = [...document.querySelectorAll("main table[id]")];
  const status = document.getElementById("status");
  const form = document.getElementById("filters");
  const rowsOf = (table) => [...table.tBodies[0].rows];
  const headsOf = (table) => [...table.tHead.rows[0].cells];
  const say = (text) => { status.textContent = text; };

  // --- theme -------------------------------------------------------------------------------------------
  const theme = document.getElementById("theme");
  const remembered = (value) => {
    try { return value === undefined ? localStorage.getItem("theme") : localStorage.setItem("theme", value); }
    catch { return null; } // a browser may forbid storage for files
  };
  const setTheme = (value) => {
    if (value) document.documentElement.dataset.theme = value;
    else delete document.documentElement.dataset.theme;
  };
  theme.value = ["light", "dark"].includes(remembered()) ? remembered() : "";
  setTheme(theme.value);
  theme.addEventListener("change", () => { setTheme(theme.value); remembered(theme.value); });

  // --- sorting -----------------------------------------------------------------------------------------
  const OPPOSITE = { ascending: "descending", descending: "ascending" };
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const shown = (cell) => cell.textContent.trim();

  function keyOf(cell, numeric) {
    if (!numeric) return shown(cell) === "\u2013" ? null : shown(cell);
    return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
  }

  function sort(table, column, order) {
    const numeric = "numeric" in headsOf(table)[column].dataset;
    const keyed = rowsOf(table).map((row) => [keyOf(row.cells[column], numeric), row]);
    const sign = order === "ascending" ? 1 : -1;
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what is missing stands last
      return sign * (numeric ? a - b : collator.compare(a, b));
    });
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  }

  function onSort(table, column) {
    const head = headsOf(table)[column];
    const first = head.dataset.first || "ascending";
    const now = head.getAttribute("aria-sort");
    const next = now === "none" ? first : now === first ? OPPOSITE[first] : "none";
    for (const other of headsOf(table)) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", next);
    if (next === "none") table.tBodies[0].append(...firstOrder.get(table));
    else sort(table, column, next);
    say(next === "none" ? "First order" : `Sorted by ${shown(head)}, ${next}`);
  }

  const firstOrder = new Map(tables.map((table) => [table, rowsOf(table)]));
  for (const table of tables) {
    headsOf(table).forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => onSort(table, column));
    });
  }

  // --- filters -----------------------------------------------------------------------------------------
  // What a filter reads of a row: its column, else what the whole table shares, else nothing.
  const texts = new Map();
  function read(table) {
    if (!texts.has(table)) {
      const places = Object.fromEntries(
        headsOf(table).flatMap((head, place) => (head.dataset.name ? [[head.dataset.name, place]] : [])),
      );
      const rows = new Map(rowsOf(table).map((row) => [row, row.textContent.toLowerCase()]));
      const marks = new Set(rowsOf(table).flatMap((row) => (row.dataset.marks || "").split("|")));
      texts.set(table, { places, rows, marks });
    }
    return texts.get(table);
  }

  function matches(table, row, wanted, found) {
    const { places, rows, marks } = read(table);
    if (found && !rows.get(row).includes(found)) return false;
    return wanted.every(([name, value]) => {
      if (name === "marks") return !marks.has(value) || (row.dataset.marks || "").split("|").includes(value);
      if (name in places) return shown(row.cells[places[name]]) === value;
      return !(name in table.dataset) || table.dataset[name] === value;
    });
  }

  function hideColumns(table, scenario) {
    headsOf(table).forEach((head, place) => {
      if (!head.dataset.scenario) return;
      const hide = Boolean(scenario) && head.dataset.scenario !== scenario;
      if (head.hidden === hide) return;
      for (const row of table.rows) row.cells[place].hidden = hide;
    });
  }

  function filter() {
    const wanted = [...form.querySelectorAll("[data-filter]")]
      .filter((select) => select.value)
      .map((select) => [select.dataset.filter, select.value]);
    const found = document.getElementById("find").value.trim().toLowerCase();
    const scenario = Object.fromEntries(wanted).scenario;
    for (const table of tables) {
      const rows = rowsOf(table);
      let left = 0;
      for (const row of rows) {
        row.hidden = !matches(table, row, wanted, found);
        left += !row.hidden;
      }
      hideColumns(table, scenario);
      const count = document.querySelector(`[data-of="${table.id}"]`);
      const whole = `${rows.length} row${rows.length === 1 ? "" : "s"}`;
      count.textContent = left === rows.length ? whole : left ? `${left} of ${whole}` : `None of ${whole} matches the filters`;
    }
    for (const figure of document.querySelectorAll("main figure")) {
      figure.hidden = wanted.some(([name, value]) => name in figure.dataset && figure.dataset[name] !== value);
    }
    const active = wanted.length + Boolean(found);
    document.getElementById("active").textContent = active ? `(${active} active)` : "";
    const board = tables[0] && document.querySelector(`[data-of="${tables[0].id}"]`);
    say(board ? `${board.textContent} in the first table` : "");
  }

  if (form) {
    let waiting = 0;
    form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 60); });
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());
    if (matchMedia("(max-width: 45rem)").matches) form.querySelector("details").open = false;
    form.hidden = false;
    // A browser that comes back to a page keeps what was chosen.
    if ([...form.elements].some((one) => one.value && one.type !== "submit" && one.type !== "reset")) filter();
  }

  // --- exact values ------------------------------------------------------------------------------------
  const tip = document.getElementById("tip");
  let of = null;
  let hiding = 0;

  function detailOf(element) {
    const holder = element instanceof Element ? element.closest("main [title], main [data-detail]") : null;
    if (holder && holder.title) { // or the browser would show it too
      holder.dataset.detail = holder.title;
      holder.removeAttribute("title");
    }
    return holder;
  }

  function show(holder, focused) {
    clearTimeout(hiding);
    if (of !== holder) {
      hide();
      tip.textContent = holder.dataset.detail;
      tip.hidden = false;
      of = holder;
      place();
    }
    if (focused) focused.setAttribute("aria-describedby", "tip");
  }

  function place() {
    const at = of.getBoundingClientRect();
    const below = at.bottom + 6 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, Math.min(at.left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${below ? at.bottom + 6 : Math.max(8, at.top - tip.offsetHeight - 6)}px`;
  }

  function hide() {
    clearTimeout(hiding);
    tip.hidden = true;
    of = null;
    for (const one of document.querySelectorAll('[aria-describedby="tip"]')) one.removeAttribute("aria-describedby");
  }

  const later = () => { clearTimeout(hiding); hiding = setTimeout(hide, 200); };
  document.addEventListener("pointerover", (event) => {
    if (tip.contains(event.target)) return clearTimeout(hiding);
    const holder = detailOf(event.target);
    if (holder) show(holder);
    else if (of && !of.contains(document.activeElement)) later();
  });
  document.addEventListener("focusin", (event) => {
    const holder = detailOf(event.target);
    if (holder) show(holder, event.target);
    else hide();
  });
  document.addEventListener("focusout", later);
  document.addEventListener("scroll", (event) => { if (of && event.target !== tip) place(); }, { capture: true, passive: true });

  // --- arrow keys: one stop of the Tab key for each table -----------------------------------------------
  const visible = (cell) => cell && !cell.hidden && !cell.parentElement.hidden;
  function stop(table, cell) {
    for (const old of table.querySelectorAll("tbody [tabindex]")) old.tabIndex = -1;
    cell.tabIndex = 0;
  }
  for (const table of tables) {
    const cell = table.querySelector("tbody :is(td, th)[title]") || table.querySelector("tbody th");
    if (cell) stop(table, cell);
  }
  document.addEventListener("click", (event) => {
    const cell = event.target.closest && event.target.closest("main tbody :is(td, th)");
    if (!cell || String(getSelection())) return;
    stop(cell.closest("table"), cell);
    cell.focus({ preventScroll: true });
  });
  function next(cell, key) {
    const row = cell.parentElement;
    const step = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
    if (key === "ArrowUp" || key === "ArrowDown") {
      let other = row;
      do other = step < 0 ? other.previousElementSibling : other.nextElementSibling;
      while (other && other.hidden);
      return other && other.cells[cell.cellIndex];
    }
    const cells = [...row.cells].filter(visible);
    if (key === "Home") return cells[0];
    if (key === "End") return cells[cells.length - 1];
    return cells[cells.indexOf(cell) + step];
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const cell = event.target.closest && event.target.closest("tbody :is(td, th)");
    if (!cell || event.target !== cell || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return;
    const other = next(cell, event.key);
    if (!other) return;
    event.preventDefault();
    stop(cell.closest("table"), other);
    other.focus();
  });

  // --- paper -------------------------------------------------------------------------------------------
  let opened = [];
  addEventListener("beforeprint", () => {
    hide();
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });

  document.querySelector(".theme").hidden = false;
  for (const one of document.querySelectorAll(".script-only")) one.hidden = false;
})();
