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
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remember(root.dataset.theme);
  });

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

  // Pictures of a case enlarge side by side; arrow keys walk through the cases.
  const viewer = document.getElementById("viewer");
  const cards = [...document.querySelectorAll(".case")];
  let at = 0;
  const show = (index) => {
    at = (index + cards.length) % cards.length;
    const card = cards[at];
    const score = card.querySelector(".score");
    viewer.querySelector("h4").textContent =
      card.querySelector("h4").textContent + (score ? "  ·  " + score.textContent : "");
    viewer.querySelector(".stage").replaceChildren(...[...card.querySelectorAll("figure")].map((figure) => {
      const copy = document.createElement("figure");
      copy.append(figure.querySelector("img").cloneNode(), figure.querySelector("figcaption").cloneNode(true));
      return copy;
    }));
  };
  cards.forEach((card, index) => card.querySelectorAll(".zoom").forEach((zoom) => {
    zoom.addEventListener("click", () => { show(index); viewer.showModal(); });
  }));
  viewer.addEventListener("click", (event) => {
    const step = event.target.closest("[data-step]");
    if (step && Number(step.dataset.step)) show(at + Number(step.dataset.step));
    else if (step || event.target === viewer) viewer.close();
  });
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(at - 1);
    if (event.key === "ArrowRight") show(at + 1);
  });

  // Pointing at a name in a legend brings its lines forward.
  document.querySelectorAll(".legend li[data-series]").forEach((item) => {
    const charts = item.closest(".legend").nextElementSibling;
    const focus = (on) => {
      charts.classList.toggle("focused", on);
      charts.querySelectorAll(".series").forEach((group) =>
        group.classList.toggle("front", on && group.classList.contains(item.dataset.series)));
    };
    for (const name of ["mouseenter", "focus"]) item.addEventListener(name, () => focus(true));
    for (const name of ["mouseleave", "blur"]) item.addEventListener(name, () => focus(false));
  });
})();
