"use strict";
(() => {
  const root = document.documentElement;
  const KEY = "maskwright-theme";
  const remember = (value) => { try { localStorage.setItem(KEY, value); } catch { /* private window */ } };
  const recall = () => { try { return localStorage.getItem(KEY); } catch { return null; } };

  // Light or dark: follows the system until somebody chooses.
  const button = document.getElementById("theme");
  const dark = () => root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const chosen = recall();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  const say = () => button.setAttribute("aria-pressed", String(dark()));
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember(root.dataset.theme);
    say();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  say();

  // The section being read is marked in the bar.
  const links = new Map([...document.querySelectorAll(".links a")].map((a) => [a.hash.slice(1), a]));
  const visible = new Set();
  const mark = () => {
    const current = [...links.keys()].find((id) => visible.has(id));
    for (const [id, link] of links) {
      if (id === current) link.setAttribute("aria-current", "true"); else link.removeAttribute("aria-current");
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) visible.add(entry.target.id); else visible.delete(entry.target.id);
    }
    mark();
  }, { rootMargin: "-25% 0px -60% 0px" });
  document.querySelectorAll("main > section").forEach((section) => watcher.observe(section));

  // A case opens large: truth, answer or errors lie over its image, and a slider moves the seam between them.
  const viewer = document.getElementById("viewer");
  const stage = viewer.querySelector(".stage");
  const slide = document.getElementById("slide");
  const layers = viewer.querySelector(".layers");
  const cards = [...document.querySelectorAll(".case")];
  let at = 0;
  let wanted = "Errors";
  const picture = (figure, style) => {
    const copy = figure.querySelector("img").cloneNode();
    copy.className = style;
    copy.removeAttribute("loading");
    return copy;
  };
  const move = () => {
    stage.style.setProperty("--at", slide.value + "%");
    slide.setAttribute("aria-valuetext", slide.value + " % image");
  };
  const lay = (title) => {
    const figures = [...cards[at].querySelectorAll("figure")];
    const named = (name) => figures.find((figure) => figure.querySelector("figcaption").textContent === name);
    const over = named(title) || figures[figures.length - 1];
    const name = over.querySelector("figcaption").textContent;
    const base = picture(figures[0], "base");
    const whole = figures.length < 2 || over === figures[0];
    const seam = document.createElement("span");
    seam.className = "seam";
    const tall = figures[0].querySelector("img");
    stage.style.setProperty("--ratio", tall.getAttribute("width") / tall.getAttribute("height"));
    stage.classList.toggle("single", whole);
    stage.classList.toggle("crisp", Math.max(tall.getAttribute("width"), tall.getAttribute("height")) < 160);
    stage.replaceChildren(...(whole ? [base] : [base, picture(over, "over"), seam]));
    viewer.querySelector(".compare label").hidden = whole;
    viewer.querySelector("[data-layer]").textContent = name;
    layers.querySelectorAll("button").forEach((layer) =>
      layer.setAttribute("aria-pressed", String(layer.textContent === name)));
    move();
  };
  const show = (index) => {
    at = (index + cards.length) % cards.length;
    const card = cards[at];
    const score = card.querySelector(".score");
    viewer.querySelector("h2").textContent =
      card.querySelector("h4, h3").textContent + (score ? "  ·  " + score.textContent : "");
    layers.replaceChildren(...[...card.querySelectorAll("figure")].slice(1).map((figure) => {
      const layer = document.createElement("button");
      layer.type = "button";
      layer.textContent = figure.querySelector("figcaption").textContent;
      layer.addEventListener("click", () => { wanted = layer.textContent; lay(wanted); });
      return layer;
    }));
    lay(wanted);
  };
  cards.forEach((card, index) => card.querySelectorAll(".zoom").forEach((zoom) => {
    zoom.addEventListener("click", () => {
      const name = zoom.closest("figure").querySelector("figcaption").textContent;
      if (zoom.closest("figure") !== card.querySelector("figure")) wanted = name;
      slide.value = 50;
      show(index);
      viewer.showModal();
      slide.focus();
    });
  }));
  slide.addEventListener("input", move);
  let dragging = false;
  const drag = (event) => {
    const box = stage.getBoundingClientRect();
    slide.value = Math.round(100 * (event.clientX - box.left) / box.width);
    move();
  };
  stage.addEventListener("pointerdown", (event) => { dragging = true; event.preventDefault(); drag(event); });
  addEventListener("pointermove", (event) => { if (dragging) drag(event); });
  addEventListener("pointerup", () => { dragging = false; });
  viewer.addEventListener("click", (event) => {
    const step = event.target.closest("[data-step]");
    if (step && Number(step.dataset.step)) show(at + Number(step.dataset.step));
    else if (step || event.target === viewer) viewer.close();
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key === "n") show(at + 1);
    if (key === "p") show(at - 1);
    const layer = layers.children[Number(key) - 1];
    if (/^[1-9]$/.test(key) && layer) layer.click();
  });

  // A button of a legend shows and hides its lines; pointing at it brings them forward.
  document.querySelectorAll(".toggle").forEach((toggle) => {
    const charts = toggle.closest(".legend").nextElementSibling;
    const group = toggle.dataset.group;
    const each = (act) => charts.querySelectorAll(".series").forEach((line) => {
      if (line.dataset.group === group) act(line);
    });
    toggle.addEventListener("click", () => {
      const on = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", String(on));
      if (group === "dashed") charts.classList.toggle("nodash", !on);
      else each((line) => line.classList.toggle("off", !on));
    });
    if (group === "dashed") return;
    const focus = (on) => {
      charts.classList.toggle("focused", on);
      each((line) => line.classList.toggle("front", on));
    };
    for (const name of ["mouseenter", "focus"]) toggle.addEventListener(name, () => focus(true));
    for (const name of ["mouseleave", "blur"]) toggle.addEventListener(name, () => focus(false));
  });

  // Tables of items sort by their heads; the field above shows only rows that hold its words.
  document.querySelectorAll(".sortable table").forEach((table) => {
    const body = table.tBodies[0];
    const value = (row, column) => {
      const words = row.cells[column].textContent.trim();
      const number = Number.parseFloat(words.replace("−", "-").replace("±", ""));
      return Number.isNaN(number) || /^[a-z]/i.test(words) ? words : number;
    };
    const order = (a, b) => typeof a === "number" && typeof b === "number"
      ? a - b
      : typeof a === typeof b ? String(a).localeCompare(String(b), undefined, { numeric: true }) : typeof a === "number" ? -1 : 1;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!head.textContent) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => [value(row, column), row]);
        rows.sort((a, b) => up ? order(a[0], b[0]) : order(b[0], a[0]));
        body.append(...rows.map((pair) => pair[1]));
      });
    });
  });
  const find = document.getElementById("find");
  if (find) {
    const finder = find.closest(".finder");
    const rows = [...finder.nextElementSibling.querySelectorAll("tbody tr")];
    const words = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
    const said = finder.querySelector("output");
    const sift = () => {
      const asked = find.value.trim().toLowerCase();
      let shown = 0;
      rows.forEach((row, index) => {
        row.hidden = !words[index].includes(asked);
        if (!row.hidden) shown += 1;
      });
      said.textContent = asked ? `${shown} of ${rows.length}` : "";
    };
    finder.hidden = false;
    find.addEventListener("input", sift);
  }
})();
