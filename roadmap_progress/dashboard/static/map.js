// The map: pointing at a stop lights its tracks, choosing one zooms to its section, arrow keys walk.

/** Makes the map of a page live; returns what has to be done when the page was drawn anew. */
function keepMap(root, closeup) {
  let zoomed = null; // the key of the section that is near
  let current = null; // the data-key of the one link that the Tab key reaches
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");

  const map = () => root.querySelector(".rdm-map");
  const drawing = () => [...root.querySelectorAll(".rdm-drawing")].find((el) => el.getClientRects().length);
  const links = (within) => [...(within?.querySelectorAll("a") ?? [])];

  const light = (stop) => {
    const whole = stop?.closest(".rdm-drawing");
    for (const el of root.querySelectorAll(".rdm-lit, .rdm-on")) el.classList.remove("rdm-lit", "rdm-on");
    if (!whole) return;
    const own = stop.dataset.stop;
    const ways = map().dataset.ways.split(" ").map((way) => way.split(">")).filter((way) => way.includes(own));
    const near = new Set([own, ...ways.flat()]);
    whole.classList.add("rdm-lit");
    for (const el of whole.querySelectorAll(".rdm-stop")) el.classList.toggle("rdm-on", near.has(el.dataset.stop));
    for (const el of whole.querySelectorAll(".rdm-tracks path")) {
      el.classList.toggle("rdm-on", el.dataset.way.split(">").includes(own));
    }
    for (const el of whole.querySelectorAll(".rdm-line")) {
      const on = [...el.querySelectorAll(".rdm-stop.rdm-on")].length > 0;
      for (const part of el.querySelectorAll(".rdm-rails, .rdm-sign")) part.classList.toggle("rdm-on", on);
    }
  };

  /** One link of each drawing is in the Tab order: where the reader was last, or what to do next. */
  const restore = () => {
    if (!map()) return;
    if (zoomed && !closeup(zoomed)) zoomed = null; // the course has changed
    for (const whole of map().querySelectorAll(".rdm-drawing")) {
      const all = links(whole);
      const chosen =
        all.find((el) => el.dataset.key === current) ?? all.find((el) => el.querySelector(".here")) ?? all[0];
      for (const el of all) el.setAttribute("tabindex", el === chosen ? "0" : "-1");
    }
    map().querySelector(".rdm-overview").hidden = zoomed !== null;
    map().classList.toggle("rdm-zoomed", zoomed !== null);
    const place = map().querySelector(".rdm-near-place");
    const html = zoomed ? closeup(zoomed) : "";
    if ((place.html ?? "") === html) return;
    place.html = html;
    replace(place, html);
  };

  const fly = (el, box, closer) => {
    if (still.matches || !el.animate || !box) return;
    const place = el.getBoundingClientRect();
    const origin = `${box.x + box.width / 2 - place.x}px ${box.y + box.height / 2 - place.y}px`;
    const far = { transform: `scale(${closer ? 0.6 : 1.9})`, transformOrigin: origin, opacity: 0 };
    el.animate([far, { transform: "none", transformOrigin: origin, opacity: 1 }], { duration: 280, easing: "cubic-bezier(.2,.7,.2,1)" });
  };

  const boxOf = (key) => drawing()?.querySelector(`.rdm-sign[data-zoom="${CSS.escape(key)}"]`)?.parentElement.getBoundingClientRect();

  const zoom = (key, stop) => {
    const from = zoomed === null ? boxOf(key) : null;
    zoomed = key;
    restore();
    const near = map().querySelector(`[data-closeup="${CSS.escape(key)}"]`);
    const focus = stop ? `near-${stop}` : `closeup-${key}`;
    if (map().getBoundingClientRect().top < 0) map().scrollIntoView({ block: "start" });
    near.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: !stop });
    fly(near, from && { ...near.getBoundingClientRect().toJSON(), x: from.x, width: from.width }, true);
  };

  const whole = () => {
    const key = zoomed;
    zoomed = null;
    restore();
    const back = links(drawing()).find((el) => el.dataset.key === current && el.dataset.zoom === key)
      ?? links(drawing()).find((el) => el.dataset.zoom === key);
    back?.focus();
    fly(map().querySelector(".rdm-overview"), boxOf(key), false);
  };

  /** The link next to this one in the direction of an arrow key. */
  const beside = (from, key) => {
    const all = links(drawing());
    const at = all.indexOf(from);
    if (key === "ArrowRight") return all[at + 1];
    if (key === "ArrowLeft") return all[at - 1];
    if (key === "Home") return all[0];
    if (key === "End") return all.at(-1);
    const middle = (el) => {
      const box = (el.querySelector(".area") ?? el).getBoundingClientRect();
      return { x: box.x, y: box.y };
    };
    const here = middle(from);
    const sense = key === "ArrowDown" ? 1 : -1;
    const far = (el) => Math.abs(middle(el).x - here.x) * 0.4 + (middle(el).y - here.y) * sense;
    return all
      .filter((el) => el.dataset.stop && (middle(el).y - here.y) * sense > 12)
      .sort((a, b) => far(a) - far(b))[0];
  };

  root.addEventListener("pointerover", (event) => {
    if (event.pointerType === "mouse" && drawing()?.contains(event.target)) light(event.target.closest(".rdm-stop"));
  });
  root.addEventListener("pointerout", (event) => {
    if (!drawing()?.contains(event.relatedTarget)) light(null);
  });
  root.addEventListener("focusin", (event) => {
    const link = event.target.closest?.(".rdm-drawing a");
    light(link?.matches(":focus-visible") ? link.closest(".rdm-stop") : null);
    if (!link) return;
    current = link.dataset.key;
    for (const el of links(link.closest(".rdm-drawing"))) el.setAttribute("tabindex", el === link ? "0" : "-1");
  });
  root.addEventListener("focusout", () => light(null));
  root.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const link = event.target.closest?.(".rdm-drawing a");
    if (event.key === "Escape" && zoomed !== null && map().contains(event.target)) whole();
    else if (link && ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
      beside(link, event.key)?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would go to another cell
  });
  root.addEventListener("click", (event) => {
    const target = event.target.closest?.("[data-zoom], [data-goto], [data-zoom-out]");
    if (!target || !map()?.contains(target)) return;
    event.preventDefault();
    event.stopPropagation();
    if (target.dataset.zoomOut !== undefined) whole();
    else {
      if (target.closest(".rdm-drawing")) current = target.dataset.key;
      const number = target.dataset.goto ?? target.dataset.stop;
      const stop = number && map().querySelector(`[data-stop="${CSS.escape(number)}"]`);
      zoom(target.dataset.zoom ?? stop.dataset.zoom, number);
    }
  });
  return restore;
}

